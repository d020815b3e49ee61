"""Errors as RFC 9457 has them: what is wrong and what to do, never what is inside."""

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
from palate.serving.api.schemas import Problem
from palate.serving.service import UnknownItem

LOG = logging.getLogger("palate.serving")
MEDIA = "application/problem+json"
NO_JSON = "the body is not JSON"
AGAIN = {429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}


def problem(
    status: int, detail: str, errors: Sequence[dict[str, str]] = (), headers: Mapping[str, str] | None = None
) -> Response:
    """A response in the form of :class:`Problem`."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": list(errors),
    }
    raw = json.dumps(body).encode()
    return Response(raw, status, headers={**AGAIN.get(status, {}), **(headers or {})}, media_type=MEDIA)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What routes say of the errors they answer with; every one may refuse, shed or be limited."""
    every = (*statuses, 401, 403, 429, 503)
    return {
        status: {"model": Problem, "description": HTTPStatus(status).phrase, "content": {MEDIA: {}}} for status in every
    }


def attach(app: FastAPI) -> None:
    """Answer every error of the app in this form."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if any(fault["type"] == "json_invalid" for fault in found):
            return problem(400, NO_JSON)
        errors = [{"at": ".".join(map(str, fault["loc"])), "message": str(fault["msg"])[:300]} for fault in found[:20]]
        return problem(422, f"{len(found)} of what was sent cannot be used", errors)

    @app.exception_handler(UnknownItem)
    async def _unknown(request: Request, error: UnknownItem) -> Response:
        return problem(422, str(error)[:1000])

    @app.exception_handler(PalateError)
    async def _refused(request: Request, error: PalateError) -> Response:
        # a file's place says something of the machine, and nothing to who asked
        error.file = None
        return problem(422, str(error)[:1000])

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        # bytes that are no text at all are met before JSON is
        detail = NO_JSON if error.status_code == 400 else str(error.detail)[:1000]
        return problem(error.status_code, detail, headers=error.headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        LOG.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(500, "this is a fault of the server; its log says more")
