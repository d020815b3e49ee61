"""Where keys are required: a form that takes one and leaves a cookie that only this site is sent."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.serving.page.cookies import ENTRY
from palate.serving.page.form import Form
from palate.serving.page.render import page

STAYS = 12 * 3600


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/enter")(form)
    router.post("/enter")(enter)


def form(request: Request) -> Response:
    """Ask for a key; where none is needed, go on."""
    if not _keys(request):
        return RedirectResponse("/", 303)
    return page(request, "login.html", fault="")


def enter(request: Request, sent: Form) -> Response:
    """Let in who has a key."""
    keys = _keys(request)
    if not keys:
        return RedirectResponse("/", 303)
    found = keys.entry(sent.fields.get("key", "").strip())
    if found is None:
        return page(request, "login.html", 403, fault="This is not a key that opens this shop.")
    response = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(ENTRY, found, STAYS, path="/", secure=secure, httponly=True, samesite="strict")
    return response


def _keys(request: Request) -> Any:
    """The app's keys: empty or None for none, else ``entry(key)`` makes a cookie or None."""
    return getattr(request.app.state, "keys", None)
