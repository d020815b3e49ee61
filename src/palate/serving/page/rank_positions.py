"""Ranks of an item in the lists of the page: evidence that an item that was just added can be recommended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from palate.core.errors import FeatureError, UnsupportedError
from palate.serving.availability import SearchUnavailable
from palate.serving.page.cards import Card, item_card
from palate.serving.page.rows import newest_cards
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService

MAX_RANK, NEIGHBOURS, MAX_SIMILAR_RANK = 200, 4, 50
"""Depth of the searched lists; similar items whose lists are searched, and the depth of these lists."""


@dataclass(frozen=True)
class RankPosition:
    """Rank of an item in a list.

    Attributes:
        list_name: name of the list.
        rank: position, from 1.
        seed: item that the list starts from.
    """

    list_name: str
    rank: int
    seed: Card | None = None


def rank_positions(
    service: RecommenderService, item: str, user: str | None, neighbours: Sequence[Card]
) -> list[RankPosition]:
    """Ranks in the lists of a user, in the newest items, and in the lists of similar items.

    Args:
        service: the service.
        item: item id.
        user: user id.
        neighbours: items similar to it, the closest first.
    """
    positions = []
    if user is not None:
        response = service.recommend(RecommendRequest(MAX_RANK, user=user))
        if response.is_personal:
            positions += _position("For you", [listed.id for listed in response.items], item)
    newest = newest_cards(service, user, {}, [], MAX_RANK)
    positions += _position("New here", [listed.id for listed in newest], item)
    for neighbour in neighbours[:NEIGHBOURS]:
        try:
            response = service.similar_items(neighbour.id, MAX_SIMILAR_RANK)
        except (UnsupportedError, FeatureError, SearchUnavailable):
            continue
        seed = item_card(service.snapshot, service.snapshot.row(neighbour.id))
        positions += _position("Similar", [listed.id for listed in response.items], item, seed)
    return positions


def _position(list_name: str, ids: list[str], item: str, seed: Card | None = None) -> list[RankPosition]:
    return [RankPosition(list_name, ids.index(item) + 1, seed)] if item in ids else []
