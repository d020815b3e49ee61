"""An item: what it is, what is like it, and why it is shown to somebody."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.errors import FeatureError, UnsupportedError
from palate.data.catalog import MEDIA_KINDS
from palate.serving.content_similarity import shares_space
from palate.serving.explain import MODALITY_NAMES
from palate.serving.images import item_image
from palate.serving.page.cards import Card, card, columns
from palate.serving.page.cookies import visitor
from palate.serving.page.facets import AMONG
from palate.serving.page.rank_positions import places
from palate.serving.page.render import fragment, page, service_of
from palate.serving.page.rows import related
from palate.serving.page.values import label, shown
from palate.serving.requests import Explanation
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot

SIMILAR, LIKED, SAID = 12, 6, 0.005


@dataclass(frozen=True)
class Fact:
    """A cell of the item's row. query: of a list of what shares the value, where items are filtered by it."""

    label: str
    value: str
    query: dict[str, str] | None = None


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/why")(why)
    router.get("/item/{item:path}")(item_page)


def item_page(request: Request, item: str) -> Response:
    """The page of an item; with ``why=1`` reasons are on it from the start, which takes a moment longer."""
    service, user = service_of(request), visitor(request)
    query = request.query_params
    snapshot, _, row = service.find_item(item)
    near = related(service, item, SIMILAR, {}, [])
    who = service.user_state(snapshot, user, None)
    added = query.get("added") == "1"
    facts: dict[str, Any] = {
        "card": replace(card(snapshot, row), liked=row in who.history),
        "hidden": bool(np.isin(row, who.hidden)),
        "pictured": item_image(snapshot, row) is not None,
        "story": _story(snapshot, row),
        "facts": _facts(snapshot, row),
        "similar": near,
        "known": user is not None and bool(len(who.history) or who.user >= 0),
        "shares": shares_space(snapshot),
        "added": added,
        "places": places(service, item, user, near) if added else [],
        "why": _why(service, item, user) if query.get("why") == "1" and user is not None else None,
    }
    return page(request, "item.html", **facts)


def why(request: Request) -> Response:
    """The reasons alone, for the script."""
    service, user = service_of(request), visitor(request)
    item = request.query_params.get("item", "")
    service.find_item(item)
    return fragment("explanation.html", why=None if user is None else _why(service, item, user))


def _why(service: RecommenderService, item: str, user: str) -> dict[str, Any]:
    """Reasons, as the template shows them."""
    snapshot = service.snapshot
    try:
        found: Explanation = service.explain(item, user=user)
    except (UnsupportedError, FeatureError) as error:
        return {"words": str(error), "liked": [], "parts": [], "shared": []}
    liked = [(_small(snapshot, name), share) for name, _, share in found.history[:LIKED] if share >= SAID]
    parts = [(MODALITY_NAMES.get(name, name), share) for name, share in found.modalities]
    if found.behaviour is not None:
        parts.append(("what others did with it", found.behaviour))
    shared = [
        (label(column), value, [_small(snapshot, name) for name in names[:4]], max(len(names) - 4, 0))
        for column, value, names in found.attributes
    ]
    return {
        "words": found.text,
        "liked": [(one, share) for one, share in liked if one is not None],
        "parts": sorted(parts, key=lambda part: -part[1]),
        "shared": [(column, value, [c for c in those if c], more) for column, value, those, more in shared],
    }


def _small(snapshot: ModelSnapshot, item: str) -> Card | None:
    row = snapshot.row(item)
    return card(snapshot, row) if row >= 0 else None


def _story(snapshot: ModelSnapshot, row: int) -> list[str]:
    """Its texts, the title aside."""
    texts = [shown(column, snapshot.items.frame[column][row]) for column in snapshot.items.columns("text")]
    return [text for text in texts if text and text[:200] != snapshot.stats.titles[row]]


def _facts(snapshot: ModelSnapshot, row: int) -> list[Fact]:
    """Everything else that its row says, but for names of files."""
    items, found = snapshot.items, list[Fact]()
    texts, price = items.columns("text"), columns(snapshot).price
    for column in items.frame.columns:
        if column in texts or column in (items.id_column, price) or items.kinds.get(column) in MEDIA_KINDS:
            continue
        value = shown(column, items.frame[column][row])
        if value is not None:
            known = value.strip().lower() in snapshot.stats.filters.values.get(column, {})
            found.append(Fact(label(column), value, {AMONG + column: value} if known else None))
    return [*found, Fact(label("id"), snapshot.ids[row])]
