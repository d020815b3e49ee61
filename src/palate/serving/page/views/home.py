"""Home: rows for somebody, sliders, filters; and what people do with a card."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from palate.core.errors import DataError
from palate.serving.events import Event
from palate.serving.page import facets
from palate.serving.page.cards import card
from palate.serving.page.html import fragment, page, shop_of
from palate.serving.page.sent import Form
from palate.serving.page.shelves import SLIDERS, Wanted, shelves, sliders
from palate.serving.page.visitor import back, guest, remember, say, visitor
from palate.serving.pictures import picture_of
from palate.serving.shop import Shop

from .people import some

KINDS = ("like", "hide")
COLLAGE = 6


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/")(home)
    router.get("/shelves")(rows)
    router.post("/act")(act)


def home(request: Request) -> Response:
    """The whole page."""
    shop, user = shop_of(request), visitor(request)
    query = request.query_params
    facts = _facts(shop, user, query)
    known = [] if user is not None else some(shop)
    popular = (row for row in shop.edition.popular[: 4 * COLLAGE].tolist() if shop.edition.alive[row])
    shown = [card(shop.edition, row) for row in popular if picture_of(shop.edition, row) is not None]
    collage = shown[:COLLAGE] if user is None else []
    found = facets.facets(shop.edition, query)
    return page(
        request, "home.html", **facts, facets=found, lean=sliders(query), about_sliders=SLIDERS, known=known,
        collage=collage,
    )  # fmt: skip


def rows(request: Request) -> Response:
    """The rows alone, for the script."""
    shop = shop_of(request)
    return fragment("shelves.html", **_facts(shop, visitor(request), request.query_params))


def act(request: Request, sent: Form) -> Response:
    """A like, or an item that somebody does not want to see; a browser that is nobody yet becomes a guest."""
    shop, kind, item = shop_of(request), sent.get("kind"), sent.fields.get("item", "")
    if kind not in KINDS:
        raise DataError("an item is liked or hidden", key="kind", hint=", ".join(KINDS))
    known = visitor(request)
    user = known or guest()
    shop.log([Event(user, item, kind)])
    if "application/json" in request.headers.get("accept", ""):
        response: Response = JSONResponse({"kind": kind, "item": item})
    else:
        response = back(request, sent.get("next"))
        say(request, response, kind, item)
    if known is None:
        remember(request, response, user)
    return response


def _facts(shop: Shop, user: str | None, query: QueryParams) -> dict[str, Any]:
    wanted = Wanted(sliders(query), facets.filters(query))
    found, who = shelves(shop, user, wanted)
    here = f"/?{query}" if str(query) else "/"
    return {"shelves": found, "liked": len(who.liked), "here": here, "narrowed": bool(wanted.filters)}
