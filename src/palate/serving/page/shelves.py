"""Rows of recommendations for somebody, no item in two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.errors import DataError, FeatureError, UnsupportedError
from palate.serving.edition import Edition
from palate.serving.people import Person
from palate.serving.shop import Shop
from palate.serving.wishes import Told, Wish

from .cards import Card, card, cards

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


def shelves(shop: Shop, user: str | None, wanted: Wanted) -> tuple[list[Shelf], Person]:
    """The rows of a home page, and who they are for; empty rows are left out."""
    edition, _ = shop.speaker(None)
    who = shop.person(edition, user, None)
    told = shop.recommend(replace(Wish(GRID, user=user, because=True, filters=wanted.filters), **wanted.sliders))
    personal = told.said_by != "popular" and bool(len(who.liked) or who.user >= 0)
    rows = [_first(edition, told, who, personal)]
    gone = [edition.ids[row] for row in np.concatenate([who.hidden, who.liked])]
    gone += [item.id for item in told.items]
    for seed in reversed(who.liked[-SEEDS:].tolist()):
        found = related(shop, edition.ids[seed], RAIL, wanted.filters, gone) if edition.alive[seed] else []
        one = card(edition, seed)
        title = f"Because you liked {one.title}"
        rows.append(Shelf(f"like-{len(rows)}", title, "Alike, by everything the model knows", found, one))
        gone += [item.id for item in found]
    fresh = newest(shop, user if personal else None, wanted.filters, gone)
    about = "Just arrived, the ones for you first" if personal else "Just arrived"
    rows.append(Shelf("new", "New here", about, fresh))
    gone += [item.id for item in fresh]
    if personal:
        popular = shop.recommend(Wish(RAIL, filters=wanted.filters, exclude=gone))
        rows.append(Shelf("popular", "Popular now", "What most people took", cards(edition, popular.items)))
    return [row for row in rows if row.cards], who


def related(shop: Shop, item: str, k: int, filters: Mapping[str, Any], exclude: list[str]) -> list[Card]:
    """Items like one, without those shown elsewhere; none where nothing is known of it."""
    edition, voice = shop.speaker(None)
    seeds: dict[str, Any] = {"liked": [item]} if voice.new_users else {"like": item}
    try:
        return cards(edition, shop.recommend(Wish(k, **seeds, filters=filters, exclude=exclude)).items)
    except (UnsupportedError, FeatureError):
        return []


def newest(shop: Shop, user: str | None, filters: Mapping[str, Any], exclude: list[str], k: int = RAIL) -> list[Card]:
    """What came last: of what suits somebody, or of all."""
    edition = shop.edition
    if user is not None:
        return cards(edition, shop.recommend(Wish(k, user=user, freshness=1.0, filters=filters, exclude=exclude)).items)
    may = edition.alive.copy()
    if (mask := edition.filters.mask(filters)) is not None:
        may &= mask
    may[[row for row in map(edition.row, exclude) if row >= 0]] = False
    order = np.argsort(-edition.newness, kind="stable")
    return [card(edition, row) for row in order[may[order]][:k].tolist()]


def _first(edition: Edition, told: Told, who: Person, personal: bool) -> Shelf:
    found = cards(edition, told.items, who.liked.tolist())
    if personal:
        about = _counted(len(who.liked))
        return Shelf("for-you", "For you", about, found, grid=True)
    return Shelf("for-you", "Popular now", "What most people took, until you like something", found, grid=True)


def _counted(liked: int) -> str:
    things = "one thing" if liked == 1 else f"{liked} things"
    return f"Chosen for you, from {things} you liked" if liked else "Chosen for you"
