"""Home: rows of recommendations, sliders, filters; and feedback on an item."""

from __future__ import annotations

from typing import TypedDict

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from palate.core.errors import DataError
from palate.serving.events import Event
from palate.serving.images import item_image
from palate.serving.page.cards import Card, item_card
from palate.serving.page.cookies import can_manage, current_user, guest_id, redirect_back, set_flash, set_user
from palate.serving.page.facets import catalog_facets, parse_filters
from palate.serving.page.form import Form
from palate.serving.page.render import render_fragment, render_page, service_of
from palate.serving.page.rows import SLIDERS, ListOptions, Row, home_rows, parse_sliders
from palate.serving.page.views.users import suggested_users
from palate.serving.service import RecommenderService

FEEDBACK = ("like", "unlike", "hide", "unhide")
COLLAGE_ITEMS = 6


class RowsContext(TypedDict):
    """Variables of the template of the rows.

    Attributes:
        rows: the rows.
        likes: items of the user's history.
        address: address of the home page with the same options.
        filtered: whether there are filters.
    """

    rows: list[Row]
    likes: int
    address: str
    filtered: bool


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/")(home)
    router.get("/rows")(rows)
    router.post("/feedback")(feedback)


def home(request: Request) -> Response:
    """The home page.

    Args:
        request: the request.
    """
    service, user, query = service_of(request), current_user(request), request.query_params
    return render_page(
        request,
        "home.html",
        **_rows_context(service, user, query),
        facets=catalog_facets(service.snapshot, query),
        sliders=parse_sliders(query),
        slider_texts=SLIDERS,
        suggested=suggested_users(service) if user is None and can_manage(request) else [],
        collage=_collage(service) if user is None else [],
        makes_content=hasattr(request.app.state, "content"),
    )


def rows(request: Request) -> Response:
    """The rows alone, for the page's script.

    Args:
        request: the request.
    """
    return render_fragment(
        "rows.html", **_rows_context(service_of(request), current_user(request), request.query_params)
    )


def feedback(request: Request, form: Form) -> Response:
    """Store that an item is liked or hidden, or no longer; a browser without a user becomes a guest.

    Args:
        request: the request.
        form: ``item``, ``type`` (one of :data:`FEEDBACK`) and the address to go back to, ``next``.

    Raises:
        DataError: for an unknown type.
        UnknownItem: for an unknown item.
    """
    service, kind, item = service_of(request), form.get("type"), form.fields.get("item", "")
    if kind not in FEEDBACK:
        raise DataError(
            "An item can be liked or hidden, and both taken back.", key="type", hint=f"one of {', '.join(FEEDBACK)}"
        )
    known = current_user(request)
    user = known or guest_id()
    service.log_events([Event(user, item, kind)])
    if "application/json" in request.headers.get("accept", ""):
        response: Response = JSONResponse({"type": kind, "item": item, "user": user})
    else:
        response = redirect_back(form.get("next"))
        set_flash(request, response, kind, item)
    if known is None:
        set_user(request, response, user)
    return response


def _rows_context(service: RecommenderService, user: str | None, query: QueryParams) -> RowsContext:
    options = ListOptions(**parse_sliders(query), filters=parse_filters(query))
    home, state = home_rows(service, user, options)
    address = f"/?{query}" if str(query) else "/"
    return {"rows": home, "likes": len(state.history), "address": address, "filtered": bool(options.filters)}


def _collage(service: RecommenderService) -> list[Card]:
    """The most popular items that have an image."""
    snapshot, cards = service.snapshot, list[Card]()
    for row in snapshot.stats.popular_rows[: 4 * COLLAGE_ITEMS].tolist():
        if snapshot.active[row] and item_image(snapshot, row) is not None:
            cards.append(item_card(snapshot, row))
    return cards[:COLLAGE_ITEMS]
