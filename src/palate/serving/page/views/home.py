"""Home: rows for somebody, sliders, filters; and what people do with a card."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.datastructures import QueryParams
from starlette.responses import JSONResponse, Response

from palate.core.errors import DataError
from palate.serving.events import Event
from palate.serving.images import item_image
from palate.serving.page import facets
from palate.serving.page.cards import card
from palate.serving.page.cookies import back, guest, remember, say, visitor
from palate.serving.page.form import Form
from palate.serving.page.render import fragment, page, service_of
from palate.serving.page.rows import SLIDERS, Wanted, shelves, sliders
from palate.serving.page.views.users import some
from palate.serving.service import RecommenderService

KINDS = ("like", "hide")
COLLAGE = 6


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/")(home)
    router.get("/shelves")(rows)
    router.post("/act")(act)


def home(request: Request) -> Response:
    """The whole page."""
    service, user = service_of(request), visitor(request)
    query = request.query_params
    facts = _facts(service, user, query)
    known = [] if user is not None else some(service)
    popular = (
        row for row in service.snapshot.stats.popular_rows[: 4 * COLLAGE].tolist() if service.snapshot.active[row]
    )
    shown = [card(service.snapshot, row) for row in popular if item_image(service.snapshot, row) is not None]
    collage = shown[:COLLAGE] if user is None else []
    found = facets.facets(service.snapshot, query)
    return page(
        request, "home.html", **facts, facets=found, lean=sliders(query), about_sliders=SLIDERS, known=known,
        collage=collage,
    )  # fmt: skip


def rows(request: Request) -> Response:
    """The rows alone, for the script."""
    service = service_of(request)
    return fragment("rows.html", **_facts(service, visitor(request), request.query_params))


def act(request: Request, sent: Form) -> Response:
    """A like, or an item that somebody does not want to see; a browser that is nobody yet becomes a guest."""
    service, kind, item = service_of(request), sent.get("kind"), sent.fields.get("item", "")
    if kind not in KINDS:
        raise DataError("an item is liked or hidden", key="kind", hint=", ".join(KINDS))
    known = visitor(request)
    user = known or guest()
    service.log_events([Event(user, item, kind)])
    if "application/json" in request.headers.get("accept", ""):
        response: Response = JSONResponse({"kind": kind, "item": item})
    else:
        response = back(request, sent.get("next"))
        say(request, response, kind, item)
    if known is None:
        remember(request, response, user)
    return response


def _facts(service: RecommenderService, user: str | None, query: QueryParams) -> dict[str, Any]:
    wanted = Wanted(sliders(query), facets.filters(query))
    found, who = shelves(service, user, wanted)
    here = f"/?{query}" if str(query) else "/"
    return {"shelves": found, "liked": len(who.history), "here": here, "narrowed": bool(wanted.filters)}
