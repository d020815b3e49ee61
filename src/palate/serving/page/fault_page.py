"""The page of an error that no route answers: it needs no run, no service and no database."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Scope

from palate.serving.page.render import environment

TITLES = {
    401: "API key required",
    403: "Not allowed",
    404: "Page not found",
    405: "Not possible at this address",
    408: "The request took too long",
    413: "Too large",
    414: "The address is too long",
    421: "Unknown host name",
    429: "Too many requests",
    431: "The request is too large",
    500: "Something went wrong",
    503: "The server is busy",
}
LEADS = {
    404: "There is no page at this address.",
    429: "This browser has sent more requests than the server takes from one client. Try again in a moment.",
    500: "The server could not answer. The error is in its log.",
    503: "The server cannot take this request now. Try again in a moment.",
}
"""Status -> text of the page, where the error's own text says no more."""
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def fault_page(scope: Scope, status: int, detail: str, hint: str | None, headers: Mapping[str, str]) -> Response:
    """An error as a page with a link to try again or to go home.

    Args:
        scope: ASGI scope of the request.
        status: HTTP status.
        detail: what is wrong.
        hint: what the user can do.
        headers: headers of the response.
    """
    path, query = str(scope.get("path", "/")), bytes(scope.get("query_string", b"")).decode("latin-1")
    html = (
        environment()
        .get_template("fault.html")
        .render(
            code=status,
            title=TITLES.get(status) or HTTPStatus(status).phrase,
            lead=LEADS.get(status, detail),
            hint=hint or "",
            path=path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/",
            query=query,
            can_retry=scope.get("method") == "GET" and status in (408, 429, 500, 503),
        )
    )
    page_headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", **headers}
    return Response(html, status, headers=page_headers, media_type="text/html")
