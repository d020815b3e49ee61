"""What holds for every route of the page: where a form may come from, headers, and errors that people can read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from urllib.parse import urlsplit

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from palate.core.errors import PalateError, UnsupportedError
from palate.serving.page.render import page
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
WORDS = {
    403: "This cannot be done from here",
    404: "This is not here",
    411: "The length is missing",
    413: "This is too large",
    422: "This cannot be used as it is",
}


class PageRoute(APIRoute):
    """A route whose errors are pages, or JSON where the script asked."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                if request.method == "POST":
                    same_origin(request)
                response: Response = await inner(request)
            except UnknownItem as error:
                response = fault(request, 404, f"There is no item {error.key!r}. It may have been removed.")
            except PalateError as error:
                # the folder of a file says something of the machine, and nothing to who asked
                error.file = None
                title = "This run cannot do that" if isinstance(error, UnsupportedError) else None
                response = fault(request, 422, error.message, error.hint, _place(error), title)
            except RequestValidationError:
                response = fault(request, 422, "A value that was sent is missing or malformed.")
            except HTTPException as error:
                response = fault(request, error.status_code, str(error.detail))
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle


def fault(
    request: Request, status: int, detail: str, hint: str | None = None, place: str = "", title: str | None = None
) -> Response:
    """An error as a page with a way on; as JSON for a script."""
    title = title or WORDS.get(status) or HTTPStatus(status).phrase
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse({"message": detail, "hint": hint or ""}, status)
    facts = {"code": status, "title": title, "detail": detail, "hint": hint or "", "place": place}
    return page(request, "error.html", status, **facts)


def same_origin(request: Request) -> None:
    """Refuse a form that another site sent.

    Browsers say where a request comes from; what says nothing of it is no browser and carries nobody's cookies.

    Raises:
        HTTPException: 403.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    else:
        own = origin is None or urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise HTTPException(403, "This came from another site, so nothing was changed. Try it again from this page.")


def _place(error: PalateError) -> str:
    named = (("row", error.row), ("column", error.column), ("value", error.key))
    return ", ".join(f"{name} {value}" for name, value in named if value is not None)
