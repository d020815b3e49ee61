"""Errors as problem details (RFC 9457): what is wrong and what to do, never server internals."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.core.errors import PalateError
from palate.serving.api.response_schemas import Problem
from palate.serving.availability import DatabaseUnavailable
from palate.serving.events import DuplicateKeyError

LOG = logging.getLogger("palate.serving")
MEDIA_TYPE = "application/problem+json"
NOT_JSON = "the body is not valid JSON"
RETRY = {429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
MAX_DETAIL, MAX_MESSAGE, MAX_ERRORS = 1000, 300, 20
"""Characters of a detail and of a field's message, and number of fields that are listed."""


def problem(
    status: int,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
    hint: str | None = None,
) -> Response:
    """A response in the form of :class:`palate.serving.api.response_schemas.Problem`.

    Args:
        status: HTTP status.
        detail: what is wrong.
        errors: (location, message) of each invalid field.
        headers: additional headers.
        hint: what the caller can do.
    """
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail[:MAX_DETAIL],
        "hint": None if hint is None else hint[:MAX_DETAIL],
        "errors": list(errors),
    }
    headers = {**RETRY.get(status, {}), **(headers or {})}
    return Response(json.dumps(body).encode(), status, headers=headers, media_type=MEDIA_TYPE)


def error_problem(status: int, error: PalateError) -> Response:
    """An error of the library as a problem, without the file it occurred in: paths are server internals.

    Args:
        status: HTTP status.
        error: the error.
    """
    named = (("row", error.row), ("column", error.column), ("key", error.key))
    place = ", ".join(f"{name} {value!r}" for name, value in named if value is not None)
    return problem(status, f"{place}: {error.message}" if place else error.message, hint=error.hint)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI descriptions of a route's errors; every route may also answer 401, 403, 429 and 503.

    Args:
        statuses: further statuses of the route.
    """
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {}}}
        for status in (*statuses, 401, 403, 429, 503)
    }


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error of an app with a problem.

    Args:
        app: the app.
    """

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        faults = error.errors()
        if any(fault["type"] == "json_invalid" for fault in faults):
            return problem(400, NOT_JSON)
        errors = [
            {"location": ".".join(map(str, fault["loc"])), "message": str(fault["msg"])[:MAX_MESSAGE]}
            for fault in faults[:MAX_ERRORS]
        ]
        first = f"{errors[0]['location']}: {errors[0]['message']}"
        return problem(422, first if len(faults) == 1 else f"{len(faults)} fields are invalid; {first}", errors)

    @app.exception_handler(DatabaseUnavailable)
    async def _unavailable(request: Request, error: DatabaseUnavailable) -> Response:
        return error_problem(503, error)

    @app.exception_handler(DuplicateKeyError)
    async def _conflict(request: Request, error: DuplicateKeyError) -> Response:
        return error_problem(409, error)

    @app.exception_handler(PalateError)
    async def _refused(request: Request, error: PalateError) -> Response:
        return error_problem(422, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        # bytes that cannot be decoded fail before they are parsed as JSON
        detail = NOT_JSON if error.status_code == 400 else str(error.detail)
        return problem(error.status_code, detail, headers=error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "an internal error occurred; the server's log has the details")
