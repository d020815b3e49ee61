"""Rows of recommendations for a user; no item is in two of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from starlette.datastructures import QueryParams

from palate.core.errors import DataError, FeatureError, UnsupportedError
from palate.serving.availability import SearchUnavailable
from palate.serving.filters import FilterValue
from palate.serving.page.cards import Card, item_card, item_cards, reason_card
from palate.serving.recommend import NO_HISTORY
from palate.serving.requests import RecommendRequest, RecommendResponse
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot, UnknownItem
from palate.serving.stages.pipeline import Fallback
from palate.serving.user_state import UserState

GRID_ITEMS, ROW_ITEMS, SEED_ROWS = 12, 10, 2
"""Items of the first row and of the others; rows that start from an item of the history."""
FALLBACKS: dict[Fallback, tuple[str, str]] = {
    "new_user": ("Popular", "Popular with all users"),
    "unknown_to_model": ("Popular", "This model was fitted without you and takes no likes, so it shows popular items"),
    "late": ("Popular", "Your own list took too long just now, so these are popular items: reload to try again"),
    "failed": ("Popular", "Your own list could not be made just now, so these are popular items"),
    "history_unavailable": ("Popular", "Your likes cannot be read at the moment, so these are popular items"),
}
"""Heading and line of a list that is not the model's own."""
LAST_LIST = "Your last list: a new one took too long just now"
NO_EVENTS = "Your latest likes cannot be read at the moment and are not considered"
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
    personal = response.is_personal
    rows = [_first_row(snapshot, response, state)]
    shown = [snapshot.ids[row] for row in np.concatenate([state.hidden, state.history])]
    shown += [item.id for item in response.items]
    clicked = set(state.clicked.tolist())
    for seed in _seeds(snapshot, response, state):
        card = reason_card(snapshot, seed, seed in clicked)
        cards = similar_cards(service, card.id, ROW_ITEMS, filters, shown)
        title = f"Because you {card.verb} {card.title}"
        rows.append(Row(f"like-{len(rows)}", title, "Similar items", cards, card))
        shown += [item.id for item in cards]
    newest = newest_cards(service, user if personal else None, filters, shown)
    rows.append(Row("new", "New here", "Recently added, best match first" if personal else "Recently added", newest))
    shown += [item.id for item in newest]
    if personal:
        popular = service.recommend(RecommendRequest(ROW_ITEMS, filters=filters, exclude=shown))
        rows.append(Row("popular", "Popular", "Popular with all users", item_cards(snapshot, popular.items)))
    return [row for row in rows if row.cards], state


def _seeds(snapshot: ModelSnapshot, response: RecommendResponse, state: UserState) -> list[int]:
    """Items of the history whose rows are shown: those that carried most of the list, then the latest."""
    counts = Counter(snapshot.row(reason) for item in response.items for reason in item.reasons)
    strongest = [row for row, _ in counts.most_common()]
    rows = dict.fromkeys([*strongest, *reversed(state.history.tolist())])
    return [row for row in rows if row >= 0 and snapshot.active[row]][:SEED_ROWS]


def similar_cards(
    service: RecommenderService,
    item: str,
    k: int,
    filters: Mapping[str, FilterValue],
    exclude: Sequence[str],
    user: str | None = None,
) -> list[Card]:
    """Cards of items similar to an item; none where the model knows nothing of it, or does not answer in time.

    Args:
        service: the service.
        item: item id.
        k: number of cards.
        filters: column -> values or bounds.
        exclude: item ids that are left out.
        user: user whose hidden items are left out.
    """
    snapshot = service.snapshot
    request = RecommendRequest(k, similar_to=item, filters=filters, exclude=exclude, hidden_for=user)
    try:
        response = service.recommend(request)
    except (UnknownItem, UnsupportedError, FeatureError, SearchUnavailable):
        # one that was removed a moment ago has no similar items
        return []
    return item_cards(snapshot, response.items)


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
        response = service.recommend(request)
        if response.is_personal:
            return item_cards(snapshot, response.items)
    allowed = snapshot.active.copy()
    if (mask := snapshot.stats.filters.mask(filters)) is not None:
        allowed &= mask
    allowed[[row for row in map(snapshot.row, exclude) if row >= 0]] = False
    order = np.argsort(-snapshot.stats.recency, kind="stable")
    return [item_card(snapshot, row) for row in order[allowed[order]][:k].tolist()]


def _first_row(snapshot: ModelSnapshot, response: RecommendResponse, state: UserState) -> Row:
    title, about = "For you", _based_on(state)
    if response.fallback is not None:
        title, about = FALLBACKS[response.fallback]
        if response.is_personal:
            title, about = "For you", LAST_LIST
    elif not state.is_known:
        title, about = FALLBACKS["new_user"]
    elif not state.is_complete:
        about = NO_EVENTS
    notes = tuple(note for note in response.notes if note != NO_HISTORY)
    return Row("for-you", title, about, item_cards(snapshot, response.items, state), grid=True, notes=notes)


def _based_on(state: UserState) -> str:
    number = len(state.history)
    if not number:
        return "Recommended for you"
    verb = "liked or viewed" if len(state.clicked) else "liked"
    return f"Based on {'one item' if number == 1 else f'{number} items'} you {verb}"
