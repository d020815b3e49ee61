"""Rows of recommendations for a user; no item is in two of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.errors import DataError, FeatureError, UnsupportedError
from palate.serving.filters import FilterValue
from palate.serving.page.cards import Card, item_card, item_cards
from palate.serving.requests import RecommendRequest, RecommendResponse
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot
from palate.serving.user_state import UserState

GRID_ITEMS, ROW_ITEMS, SEED_ROWS = 12, 10, 2
"""Items of the first row and of the others; rows that start from an item of the history."""
SLIDERS = {
    "diversity": "prefer items that differ from each other",
    "novelty": "prefer less popular items",
    "freshness": "prefer newer items",
}


@dataclass(frozen=True)
class Row:
    """A row of recommendations.

    Attributes:
        name: id of its heading.
        title: heading.
        about: line below the heading.
        cards: its items.
        seed: item that it starts from.
        grid: whether its items are shown in a grid.
        notes: parts of the request that were left out.
    """

    name: str
    title: str
    about: str
    cards: list[Card]
    seed: Card | None = None
    grid: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ListOptions:
    """Sliders and filters of a list.

    Attributes:
        diversity: 0 to 1.
        novelty: 0 to 1.
        freshness: 0 to 1.
        filters: column -> values or bounds.
    """

    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0
    filters: Mapping[str, FilterValue] = field(default_factory=dict)


def parse_sliders(query: QueryParams) -> dict[str, float]:
    """Sliders of an address, clipped to [0, 1].

    Args:
        query: parameters of the address.

    Raises:
        DataError: for a value that is not a number.
    """
    sliders = {}
    for name in SLIDERS:
        try:
            value = float(query.get(name) or 0.0)
        except ValueError:
            value = math.nan
        if math.isnan(value):
            raise DataError(f"{query[name]!r} is not a number", key=name, hint="a slider takes a number from 0 to 1")
        sliders[name] = min(max(value, 0.0), 1.0)
    return sliders


def home_rows(service: RecommenderService, user: str | None, options: ListOptions) -> tuple[list[Row], UserState]:
    """The rows of the home page, without empty ones, and the state of the user.

    Args:
        service: the service.
        user: user id.
        options: sliders and filters.

    Raises:
        DataError: for a filter that does not fit the catalogue.
    """
    snapshot = service.resolve_model(None)[0]
    state = service.user_state(snapshot, user, None)
    filters = options.filters
    response = service.recommend(
        RecommendRequest(
            GRID_ITEMS,
            user=user,
            filters=filters,
            diversity=options.diversity,
            novelty=options.novelty,
            freshness=options.freshness,
            include_reasons=True,
        )
    )
    personal = response.source != "popular" and bool(len(state.history) or state.user >= 0)
    rows = [_first_row(snapshot, response, state, personal)]
    shown = [snapshot.ids[row] for row in np.concatenate([state.hidden, state.history])]
    shown += [item.id for item in response.items]
    for seed in reversed(state.history[-SEED_ROWS:].tolist()):
        if not snapshot.active[seed]:
            continue
        card = item_card(snapshot, seed)
        cards = similar_cards(service, card.id, ROW_ITEMS, filters, shown)
        rows.append(Row(f"like-{len(rows)}", f"Because you liked {card.title}", "Similar items", cards, card))
        shown += [item.id for item in cards]
    newest = newest_cards(service, user if personal else None, filters, shown)
    rows.append(Row("new", "New here", "Recently added, best match first" if personal else "Recently added", newest))
    shown += [item.id for item in newest]
    if personal:
        popular = service.recommend(RecommendRequest(ROW_ITEMS, filters=filters, exclude=shown))
        rows.append(Row("popular", "Popular", "Popular with all users", item_cards(snapshot, popular.items)))
    return [row for row in rows if row.cards], state


def similar_cards(
    service: RecommenderService, item: str, k: int, filters: Mapping[str, FilterValue], exclude: Sequence[str]
) -> list[Card]:
    """Cards of items similar to an item; none where the model knows nothing of it.

    Args:
        service: the service.
        item: item id.
        k: number of cards.
        filters: column -> values or bounds.
        exclude: item ids that are left out.
    """
    request = RecommendRequest(k, similar_to=item, filters=filters, exclude=exclude)
    try:
        return item_cards(service.snapshot, service.recommend(request).items)
    except (UnsupportedError, FeatureError):
        return []


def newest_cards(
    service: RecommenderService,
    user: str | None,
    filters: Mapping[str, FilterValue],
    exclude: Sequence[str],
    k: int = ROW_ITEMS,
) -> list[Card]:
    """Cards of the newest items: among those that suit a user, or among all.

    Args:
        service: the service.
        user: user id; None for all items.
        filters: column -> values or bounds.
        exclude: item ids that are left out.
        k: number of cards.

    Raises:
        DataError: for a filter that does not fit the catalogue.
    """
    snapshot = service.snapshot
    if user is not None:
        request = RecommendRequest(k, user=user, freshness=1.0, filters=filters, exclude=exclude)
        return item_cards(snapshot, service.recommend(request).items)
    allowed = snapshot.active.copy()
    if (mask := snapshot.stats.filters.mask(filters)) is not None:
        allowed &= mask
    allowed[[row for row in map(snapshot.row, exclude) if row >= 0]] = False
    order = np.argsort(-snapshot.stats.recency, kind="stable")
    return [item_card(snapshot, row) for row in order[allowed[order]][:k].tolist()]


def _first_row(snapshot: ModelSnapshot, response: RecommendResponse, state: UserState, personal: bool) -> Row:
    cards = item_cards(snapshot, response.items, state.history.tolist())
    title, about = ("For you", _based_on(len(state.history))) if personal else ("Popular", "Popular with all users")
    return Row("for-you", title, about, cards, grid=True, notes=response.notes if personal else ())


def _based_on(likes: int) -> str:
    if not likes:
        return "Recommended for you"
    return f"Based on {'one item' if likes == 1 else f'{likes} items'} you liked"
