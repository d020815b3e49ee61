"""Types of problems: stable names that a client can switch on, as URIs (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus

from palate.core.errors import MissingDependencyError, PalateError, UnsupportedError

PREFIX = "urn:palate:problem:"
BY_STATUS = {
    400: "malformed-request",
    401: "key-required",
    403: "not-allowed",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    409: "conflict",
    411: "length-required",
    413: "body-too-large",
    414: "url-too-long",
    421: "unknown-host",
    422: "invalid-request",
    429: "rate-limited",
    431: "headers-too-large",
    500: "internal-error",
    503: "unavailable",
}
UNSUPPORTED = "unsupported"
"""The run, or this installation, lacks what the request needs."""
RETRY_SECONDS = {408: 1, 429: 1, 503: 1}
"""Status -> seconds after which the same request may succeed."""


def problem_type(status: int, error: PalateError | None = None) -> str:
    """URI of a type of problem.

    Args:
        status: HTTP status.
        error: the error behind it.
    """
    if isinstance(error, UnsupportedError | MissingDependencyError):
        return PREFIX + UNSUPPORTED
    return PREFIX + BY_STATUS.get(status, HTTPStatus(status).phrase.lower().replace(" ", "-"))
