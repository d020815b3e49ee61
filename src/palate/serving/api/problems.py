"""Errors as problem details (RFC 9457) or, for browsers, as pages: what is wrong and what to do, never internals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from palate.core.errors import PalateError
from palate.serving.api.problem_types import RETRY_SECONDS, problem_type
from palate.serving.api.response_schemas import Problem
from palate.serving.availability import DatabaseUnavailable, SearchUnavailable
from palate.serving.batches import BatchError, place_of
from palate.serving.events import DuplicateKeyError

MEDIA_TYPE = "application/problem+json"
NOT_JSON = "the body is not valid JSON"
INTERNAL_ERROR = "an internal error occurred; the server's log has the details"
MAX_DETAIL, MAX_MESSAGE, MAX_ERRORS = 1000, 300, 20
"""Characters of a detail and of a field's message, and number of fields that are listed."""
OBJECT = re.compile(r"\s*<[^<>]* at 0x[0-9a-fA-F]+>")
"""An object in memory, as Python shows it."""
Headers = Iterable[tuple[bytes, bytes]]


def problem(
    scope: Scope,
    status: int,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    hint: str | None = None,
    error: PalateError | None = None,
) -> Response:
    """A page for a browser, else a body in the form of :class:`palate.serving.api.response_schemas.Problem`.

    Args:
        scope: ASGI scope of the request.
        status: HTTP status.
        detail: what is wrong.
        errors: (location, message) of each invalid field.
        headers: additional headers.
        hint: what the caller can do.
        error: the error behind it.
    """
    retry = RETRY_SECONDS.get(status)
    headers = {**({"Retry-After": str(retry)} if retry else {}), **(headers or {})}
    detail, hint = _clean(detail), None if hint is None else _clean(hint)
    if _prefers_html(scope["headers"]):
        from palate.serving.page.fault_page import fault_page

        return fault_page(scope, status, detail, hint, headers)
    body = {
        "type": problem_type(status, error),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "hint": hint,
        "errors": list(errors),
    }
    return Response(json.dumps(body).encode(), status, headers=headers, media_type=MEDIA_TYPE)


def raw_problem(status: int, detail: str, headers: Headers) -> bytes:
    """A complete HTTP response for a request that cannot reach the app; the connection is closed after it.

    Args:
        status: HTTP status.
        detail: what is wrong.
        headers: headers of the request that were read, in lower case.
    """
    response = problem({"type": "http", "method": "", "path": "/", "headers": list(headers)}, status, detail)
    lines = [b"HTTP/1.1 %d %s" % (status, HTTPStatus(status).phrase.encode())]
    lines += [name + b": " + value for name, value in (*response.raw_headers, (b"connection", b"close"))]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


def error_problem(scope: Scope, status: int, error: PalateError) -> Response:
    """An error of the library as a problem, without the file it occurred in: paths are server internals.

    Args:
        scope: ASGI scope of the request.
        status: HTTP status.
        error: the error.
    """
    named = (("row", error.row), ("column", error.column), ("key", error.key))
    place = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
    detail = f"{place}: {error.message}" if place else error.message
    faults = error.faults if isinstance(error, BatchError) else {}
    if error.row is not None and not faults:
        faults = {error.row: error}
    errors = [{"location": f"row {row}", "message": place_of(one, row)[:MAX_MESSAGE]} for row, one in faults.items()]
    return problem(scope, status, detail, errors, hint=error.hint, error=error)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of a route's errors; every route may also answer 401, 403, 429 and 503.

    Args:
        statuses: further statuses of the route.
    """
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase}
        for status in (*statuses, 401, 403, 429, 503)
    }


def add_error_handlers(app: FastAPI) -> None:
    """Answer every expected error of an app with a problem.

    Args:
        app: the app.
    """

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" for fault in faults):
            return problem(request.scope, 400, NOT_JSON)
        errors = [
            {"location": ".".join(map(str, fault["loc"])), "message": _clean(str(fault["msg"]))[:MAX_MESSAGE]}
            for fault in faults[:MAX_ERRORS]
        ]
        first = f"{errors[0]['location']}: {errors[0]['message']}"
        detail = first if len(faults) == 1 else f"{len(faults)} fields are invalid; {first}"
        return problem(request.scope, 422, detail, errors)

    @app.exception_handler(DatabaseUnavailable)
    @app.exception_handler(SearchUnavailable)
    async def _unavailable(request: Request, error: PalateError) -> Response:
        return error_problem(request.scope, 503, error)

    @app.exception_handler(DuplicateKeyError)
    async def _conflict(request: Request, error: DuplicateKeyError) -> Response:
        return error_problem(request.scope, 409, error)

    @app.exception_handler(PalateError)
    async def _refused(request: Request, error: PalateError) -> Response:
        return error_problem(request.scope, 422, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        # bytes that cannot be decoded fail before they are parsed as JSON
        detail = NOT_JSON if error.status_code == 400 else str(error.detail)
        return problem(request.scope, error.status_code, detail, headers=error.headers)


def _prefers_html(headers: Headers) -> bool:
    """Whether a browser asked for a page: scripts and API clients do not name ``text/html``."""
    accepted = b",".join(value for name, value in headers if name == b"accept").lower()
    return b"text/html" in accepted


def _clean(text: str) -> str:
    return OBJECT.sub("", text)[:MAX_DETAIL]
