"""Cookies of the page: the current user, a message for the next page, and the session.

The user cookie holds a user id that this server has signed, so that a browser cannot become a user by writing one.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import NamedTuple
from urllib.parse import quote, unquote

from fastapi import Request
from starlette.responses import RedirectResponse, Response

from palate.serving.api.keys import SESSION_COOKIE, ApiKeys

USER_COOKIE, FLASH_COOKIE = "palate_user", "palate_flash"
USER_SECONDS, FLASH_SECONDS = 180 * 24 * 3600, 30


class Flash(NamedTuple):
    """A message for the next page.

    Attributes:
        kind: ``like``, ``unlike``, ``hide``, ``unhide``, ``updated`` or ``removed``.
        item: id of the item that it is about.
    """

    kind: str
    item: str


def current_user(request: Request) -> str | None:
    """The user id of the cookie; None without a valid one.

    Args:
        request: the request.
    """
    quoted, _, signature = request.cookies.get(USER_COOKIE, "").rpartition(".")
    if not quoted or not hmac.compare_digest(signature.encode(), _signature(_secret(request), quoted).encode()):
        return None
    try:
        return unquote(quoted, errors="strict")
    except UnicodeDecodeError:
        return None


def guest_id() -> str:
    """A new id for an anonymous user."""
    return f"guest-{secrets.token_hex(4)}"


def set_user(request: Request, response: Response, user: str) -> None:
    """Make a user the current one of this browser.

    Args:
        request: the request.
        response: the response that sets the cookie.
        user: user id.
    """
    _set_cookie(request, response, USER_COOKIE, user_cookie(_secret(request), user), USER_SECONDS)


def user_cookie(secret: bytes, user: str) -> str:
    """The signed value of the user cookie.

    Args:
        secret: bytes that the server alone knows.
        user: user id.
    """
    quoted = quote(user, safe="")
    return f"{quoted}.{_signature(secret, quoted)}"


def clear_user(response: Response) -> None:
    """Leave this browser without a user.

    Args:
        response: the response that deletes the cookie.
    """
    response.delete_cookie(USER_COOKIE, path="/")


def set_flash(request: Request, response: Response, kind: str, item: str) -> None:
    """Leave a message for the next page.

    Args:
        request: the request.
        response: the response that sets the cookie.
        kind: see :class:`Flash`.
        item: id of the item that it is about.
    """
    _set_cookie(request, response, FLASH_COOKIE, f"{kind}.{quote(item, safe='')}", FLASH_SECONDS)


def get_flash(request: Request) -> Flash | None:
    """The message that the last request left.

    Args:
        request: the request.
    """
    kind, dot, item = request.cookies.get(FLASH_COOKIE, "").partition(".")
    return Flash(kind, unquote(item)) if dot else None


def clear_flash(response: Response) -> None:
    """Delete the message once it is shown.

    Args:
        response: the response that deletes the cookie.
    """
    response.delete_cookie(FLASH_COOKIE, path="/")


def api_keys(request: Request) -> ApiKeys | None:
    """The app's API keys; None where none are required.

    Args:
        request: the request.
    """
    keys: ApiKeys | None = getattr(request.app.state, "keys", None)
    return keys or None


def can_manage(request: Request) -> bool:
    """Whether to offer changes of the catalogue; requests without the permission are refused by the middleware.

    Args:
        request: the request.
    """
    keys = api_keys(request)
    if keys is None:
        return True
    grant = keys.verify_session(request.cookies.get(SESSION_COOKIE, ""))
    return grant is not None and grant.permission == "manage"


def redirect_back(target: str | None) -> RedirectResponse:
    """A redirect to a path of this page; home for anything else.

    Args:
        target: path with query.
    """
    local = target is not None and target.startswith("/") and not target.startswith(("//", "/\\"))
    return RedirectResponse(target if local and target is not None and target.isprintable() else "/", 303)


def _secret(request: Request) -> bytes:
    secret: bytes = request.app.state.service.secret
    return secret


def _signature(secret: bytes, user: str) -> str:
    return hmac.new(secret, f"user:{user}".encode(), hashlib.sha256).hexdigest()


def _set_cookie(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    secure = request.url.scheme == "https"
    response.set_cookie(name, value, seconds, path="/", secure=secure, httponly=True, samesite="lax")
