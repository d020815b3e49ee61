"""Login where API keys are required: a form that takes a key and starts a session."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.serving.api.keys import SESSION_COOKIE, SESSION_SECONDS
from palate.serving.page.cookies import api_keys
from palate.serving.page.form import Form
from palate.serving.page.render import render_page


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/login")(login_form)
    router.post("/login")(login)


def login_form(request: Request) -> Response:
    """The form; where no key is required, a redirect home.

    Args:
        request: the request.
    """
    if api_keys(request) is None:
        return RedirectResponse("/", 303)
    return render_page(request, "login.html", error="")


def login(request: Request, form: Form) -> Response:
    """Start a session for a valid key.

    Args:
        request: the request.
        form: ``key``.
    """
    keys = api_keys(request)
    if keys is None:
        return RedirectResponse("/", 303)
    cookie = keys.session_cookie(form.fields.get("key", "").strip())
    if cookie is None:
        return render_page(request, "login.html", 403, error="This key is not valid.")
    response = RedirectResponse("/", 303)
    secure = request.url.scheme == "https"
    response.set_cookie(
        SESSION_COOKIE, cookie, SESSION_SECONDS, path="/", secure=secure, httponly=True, samesite="strict"
    )
    return response
