"""Rows of recommendations for somebody, no item in two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.errors import DataError, FeatureError, UnsupportedError
from palate.serving.page.cards import Card, card, cards
from palate.serving.requests import RecommendRequest, RecommendResponse
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot
from palate.serving.user_state import UserState

GRID, RAIL, SEEDS = 12, 10, 2
SLIDERS = {
    "diversity": "less of the same",
    "novelty": "what few people took",
    "freshness": "what came last",
}


@dataclass(frozen=True)
class Shelf:
    """A row. name: of its heading's id. about: a line below the heading. seed: the item it starts from."""

    name: str
    title: str
    about: str
    cards: list[Card]
    seed: Card | None = None
    grid: bool = False


@dataclass(frozen=True)
class Wanted:
    """How somebody wants their list: sliders and filters."""

    sliders: Mapping[str, Any] = field(default_factory=lambda: dict.fromkeys(SLIDERS, 0.0))
    filters: Mapping[str, Any] = field(default_factory=dict)


def sliders(query: QueryParams) -> dict[str, float]:
    """Their positions in an address, within 0 to 1.

    Raises:
        DataError: for one that is no number.
    """
    out = {}
    for name in SLIDERS:
        try:
            value = float(query.get(name) or 0.0)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise DataError(f"{query[name]!r} is no number", key=name, hint="a slider stands between 0 and 1")
        out[name] = min(max(value, 0.0), 1.0)
    return out


def shelves(service: RecommenderService, user: str | None, wanted: Wanted) -> tuple[list[Shelf], UserState]:
    """The rows of a home page, and who they are for; empty rows are left out."""
    snapshot, _ = service.resolve_model(None)
    who = service.user_state(snapshot, user, None)
    told = service.recommend(
        replace(RecommendRequest(GRID, user=user, because=True, filters=wanted.filters), **wanted.sliders)
    )
    personal = told.source != "popular" and bool(len(who.history) or who.user >= 0)
    rows = [_first(snapshot, told, who, personal)]
    gone = [snapshot.ids[row] for row in np.concatenate([who.hidden, who.history])]
    gone += [item.id for item in told.items]
    for seed in reversed(who.history[-SEEDS:].tolist()):
        found = related(service, snapshot.ids[seed], RAIL, wanted.filters, gone) if snapshot.active[seed] else []
        one = card(snapshot, seed)
        title = f"Because you liked {one.title}"
        rows.append(Shelf(f"like-{len(rows)}", title, "Alike, by everything the model knows", found, one))
        gone += [item.id for item in found]
    fresh = newest(service, user if personal else None, wanted.filters, gone)
    about = "Just arrived, the ones for you first" if personal else "Just arrived"
    rows.append(Shelf("new", "New here", about, fresh))
    gone += [item.id for item in fresh]
    if personal:
        popular = service.recommend(RecommendRequest(RAIL, filters=wanted.filters, exclude=gone))
        rows.append(Shelf("popular", "Popular now", "What most people took", cards(snapshot, popular.items)))
    return [row for row in rows if row.cards], who


def related(
    service: RecommenderService, item: str, k: int, filters: Mapping[str, Any], exclude: list[str]
) -> list[Card]:
    """Items like one, without those shown elsewhere; none where nothing is known of it."""
    snapshot, served = service.resolve_model(None)
    seeds: dict[str, Any] = {"history": [item]} if served.new_users else {"similar_to": item}
    try:
        return cards(snapshot, service.recommend(RecommendRequest(k, **seeds, filters=filters, exclude=exclude)).items)
    except (UnsupportedError, FeatureError):
        return []


def newest(
    service: RecommenderService, user: str | None, filters: Mapping[str, Any], exclude: list[str], k: int = RAIL
) -> list[Card]:
    """What came last: of what suits somebody, or of all."""
    snapshot = service.snapshot
    if user is not None:
        return cards(
            snapshot,
            service.recommend(RecommendRequest(k, user=user, freshness=1.0, filters=filters, exclude=exclude)).items,
        )
    may = snapshot.active.copy()
    if (mask := snapshot.stats.filters.mask(filters)) is not None:
        may &= mask
    may[[row for row in map(snapshot.row, exclude) if row >= 0]] = False
    order = np.argsort(-snapshot.stats.recency, kind="stable")
    return [card(snapshot, row) for row in order[may[order]][:k].tolist()]


def _first(snapshot: ModelSnapshot, told: RecommendResponse, who: UserState, personal: bool) -> Shelf:
    found = cards(snapshot, told.items, who.history.tolist())
    if personal:
        about = _counted(len(who.history))
        return Shelf("for-you", "For you", about, found, grid=True)
    return Shelf("for-you", "Popular now", "What most people took, until you like something", found, grid=True)


def _counted(liked: int) -> str:
    things = "one thing" if liked == 1 else f"{liked} things"
    return f"Chosen for you, from {things} you liked" if liked else "Chosen for you"
