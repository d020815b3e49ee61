"""Where an item stands now: proof that one which was just added can be recommended."""

from __future__ import annotations

from dataclasses import dataclass

from palate.core.errors import FeatureError, UnsupportedError
from palate.serving.page.cards import Card, card
from palate.serving.page.rows import newest
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService

DEEP, NEAR, BESIDE = 200, 4, 50


@dataclass(frozen=True)
class Place:
    """A list that holds an item: its name, the place in it, the item that it starts from."""

    name: str
    rank: int
    seed: Card | None = None


def places(service: RecommenderService, item: str, user: str | None, neighbours: list[Card]) -> list[Place]:
    """Lists of a user, and lists like items that are close, in which the item stands, and where."""
    out = []
    if user is not None:
        told = service.recommend(RecommendRequest(DEEP, user=user))
        if told.source != "popular":
            out += _rank("For you", [found.id for found in told.items], item)
    out += _rank("New here", [found.id for found in newest(service, user, {}, [], DEEP)], item)
    for near in neighbours[:NEAR]:
        try:
            told = service.similar_items(near.id, BESIDE)
        except (UnsupportedError, FeatureError):
            continue
        seed = card(service.snapshot, service.snapshot.row(near.id))
        out += _rank("Like", [found.id for found in told.items], item, seed)
    return out


def _rank(name: str, ids: list[str], item: str, seed: Card | None = None) -> list[Place]:
    return [Place(name, ids.index(item) + 1, seed)] if item in ids else []
