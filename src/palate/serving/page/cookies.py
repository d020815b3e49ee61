"""Who looks at the page. A cookie names a user, as a request to the API does; it proves nothing and opens nothing."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote, unquote

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from palate.core.errors import DataError
from palate.serving.database import check_id

USER, SAID, ENTRY = "palate_user", "palate_said", "palate_entry"
STAYS = 180 * 24 * 3600


def visitor(request: Request) -> str | None:
    """The user id that the cookie names; None where there is none that could be one."""
    raw = request.cookies.get(USER)
    if not raw:
        return None
    try:
        return check_id("user", unquote(raw, errors="strict"))
    except (DataError, UnicodeDecodeError):
        return None


def guest() -> str:
    """A name for who gave none."""
    return f"guest-{secrets.token_hex(4)}"


def remember(request: Request, response: Response, user: str) -> None:
    """From now on this browser is that user."""
    _cookie(request, response, USER, quote(check_id("user", user), safe=""), STAYS)


def forget(response: Response) -> None:
    """From now on this browser is nobody."""
    response.delete_cookie(USER, path="/")


def say(request: Request, response: Response, kind: str, item: str) -> None:
    """Leave a message for the next page."""
    _cookie(request, response, SAID, f"{kind}.{quote(item, safe='')}", 30)


def said(request: Request) -> tuple[str, str] | None:
    """The message that the last request left: what kind, of which item."""
    kind, dot, item = request.cookies.get(SAID, "").partition(".")
    return (kind, unquote(item)) if dot else None


def unsay(response: Response) -> None:
    """The message was shown."""
    response.delete_cookie(SAID, path="/")


def may_manage(request: Request) -> bool:
    """Whether to offer what changes the catalogue; who tries it without the right is kept out by the app."""
    keys: Any = getattr(request.app.state, "keys", None)
    if not keys:
        return True
    found = keys.entered(request.cookies.get(ENTRY, ""))
    return found is not None and found[0] == "manage"


def back(request: Request, to: str | None) -> RedirectResponse:
    """To a place on this page; anywhere else is home."""
    local = to is not None and to.startswith("/") and not to.startswith(("//", "/\\")) and to.isprintable()
    return RedirectResponse(to if local and to is not None else "/", 303)


def _cookie(request: Request, response: Response, name: str, value: str, stays: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, stays, path="/", secure=secure, httponly=True, samesite="lax")
