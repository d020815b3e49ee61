"""All routes of the page."""

from __future__ import annotations

from fastapi import APIRouter

from palate.serving.page.page_route import PageRoute
from palate.serving.page.render import lists_all
from palate.serving.page.views import compare, dashboard, edit, home, item, login, media, search, users


def pages() -> APIRouter:
    """Routes of the page, to be put at ``/`` of an app whose ``state.service`` is the shop.

    Where the app's ``state.keys`` holds keys, ``/enter`` lets in who has one; keeping others out is the app's part.
    """
    lists_all()
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    for view in (home, users, search, item, edit, compare, dashboard, media, login):
        view.put(router)
    return router
