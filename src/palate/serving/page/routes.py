"""All routes of the page."""

from __future__ import annotations

from fastapi import APIRouter

from .html import lists_all
from .route import PageRoute
from .views import compare, dashboard, enter, goods, home, item, media, people, search


def pages() -> APIRouter:
    """Routes of the page, to be put at ``/`` of an app whose ``state.service`` is the shop.

    Where the app's ``state.keys`` holds keys, ``/enter`` lets in who has one; keeping others out is the app's part.
    """
    lists_all()
    router = APIRouter(route_class=PageRoute, include_in_schema=False)
    for view in (home, people, search, item, goods, compare, dashboard, media, enter):
        view.put(router)
    return router
