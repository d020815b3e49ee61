"""All routes of the page."""

from __future__ import annotations

from fastapi import APIRouter

from palate.serving.page.page_route import PageRoute
from palate.serving.page.render import static_files
from palate.serving.page.views import (
    compare,
    dashboard,
    edit,
    home,
    item,
    login,
    media,
    personal,
    profile,
    search,
    users,
    write,
)


def pages() -> APIRouter:
    """Routes of the page, for ``/`` of an app whose ``state.service`` is the service.

    Where the app's ``state.keys`` holds keys, ``/login`` starts a session; refusing requests without one is up to
    :class:`palate.serving.api.access.AccessMiddleware`.
    """
    static_files()
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    for view in (home, users, profile, search, item, edit, compare, dashboard, media, personal, write, login):
        view.register(router)
    return router
