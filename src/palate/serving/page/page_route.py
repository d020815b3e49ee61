"""Rules of every route of the page: origin of forms, security headers, renamed parameters, readable errors."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from palate.core.errors import DataError, PalateError, UnsupportedError
from palate.serving.availability import DatabaseUnavailable, SearchUnavailable
from palate.serving.page.render import render_page
from palate.serving.service import UnknownItem

POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
    "base-uri 'none'; object-src 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
UNAVAILABLE = "This cannot be stored or read at the moment, so nothing was changed. Try again in a moment."
TITLES = {
    403: "Not allowed",
    404: "Not found",
    411: "Content length missing",
    413: "Too large",
    415: "Unknown encoding",
    422: "Invalid request",
    503: "Not available at the moment",
}
RENAMED = {
    "like": "similar_to", "mine": "personalized", "why": "explain", "side": "size", "a": "left", "b": "right",
}  # fmt: skip
"""Parameter of an earlier version -> parameter of today."""


class PageRoute(APIRoute):
    """A route that answers errors as pages, or as JSON for the page's script."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The handler of the route, with the rules of this module."""
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                if request.method == "POST":
                    require_same_origin(request)
                _refuse_renamed(request)
                response: Response = await inner(request)
            except UnknownItem as error:
                response = error_page(request, 404, f"There is no item {error.key!r}. It may have been removed.")
            except DatabaseUnavailable:
                response = error_page(request, 503, UNAVAILABLE)
                response.headers["Retry-After"] = "1"
            except SearchUnavailable as error:
                response = error_page(request, 503, error.message, error.hint)
                response.headers["Retry-After"] = "1"
            except PalateError as error:
                title = "This run does not support that" if isinstance(error, UnsupportedError) else None
                response = error_page(request, 422, error.message, error.hint, _place(error), title)
            except RequestValidationError:
                response = error_page(request, 422, "A required value is missing or malformed.")
            except HTTPException as error:
                response = error_page(request, error.status_code, str(error.detail))
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle


def error_page(
    request: Request, status: int, detail: str, hint: str | None = None, place: str = "", title: str | None = None
) -> Response:
    """An error as a page with links to go on, or as JSON for the page's script.

    Args:
        request: the request.
        status: HTTP status.
        detail: what is wrong.
        hint: what the user can do.
        place: row, column or value that is wrong.
        title: heading, by default that of the status.
    """
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"message": detail, "hint": hint or ""}, status)
    title = title or TITLES.get(status) or HTTPStatus(status).phrase
    return render_page(
        request, "error.html", status, code=status, title=title, detail=detail, hint=hint or "", place=place
    )


def require_same_origin(request: Request) -> None:
    """Refuse a form that another site sent.

    Browsers send the origin of a form; a client that sends neither header is not a browser and has no user's cookies.

    Args:
        request: the request.

    Raises:
        HTTPException: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        allowed = origin is None or _netloc(origin) == request.headers.get("host")
    if not allowed:
        raise HTTPException(403, "This form was sent by another site, so nothing was changed. Send it from this page.")


def _netloc(origin: str) -> str | None:
    """Host and port of an origin; None for what is no address."""
    try:
        return urlsplit(origin).netloc or None
    except ValueError:
        return None


def _refuse_renamed(request: Request) -> None:
    for old, new in RENAMED.items():
        if old in request.query_params:
            raise DataError(f"The parameter {old!r} of this address was renamed.", hint=f"Use {new!r} instead.")


def _place(error: PalateError) -> str:
    """Row, column and value of an error; never its file, whose path is a server internal."""
    named = (("row", error.row), ("column", error.column), ("value", error.key))
    return ", ".join(f"{name} {value}" for name, value in named if value is not None)
