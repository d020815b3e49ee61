"""Two models for the same person, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.batch import IntArray
from palate.serving.page.cards import Card, cards
from palate.serving.page.cookies import visitor
from palate.serving.page.render import page, service_of
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService
from palate.serving.snapshot import MAIN, ModelSnapshot

LENGTHS = (10, 20, 50)


@dataclass(frozen=True)
class Side:
    """A model's list. novelty, diversity: means over the list, 0 to 1. popular: it knows nothing of them."""

    name: str
    cards: list[Card]
    novelty: float
    diversity: float
    popular: bool


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/compare")(compare)


def compare(request: Request) -> Response:
    """Two of the models that may answer; the user is that of the cookie, or the one who is named."""
    service, query = service_of(request), request.query_params
    voices = service.model_names
    names = [query.get("a") or MAIN, query.get("b") or (voices[1] if len(voices) > 1 else MAIN)]
    k = next((k for k in LENGTHS if query.get("k") == str(k)), LENGTHS[0])
    user = query.get("user", "").strip() or visitor(request)
    sides = [_side(service, name, user, k) for name in names]
    both = [card.id for card in sides[0].cards if card.id in {other.id for other in sides[1].cards}]
    marked = [_marked(sides[0], sides[1]), _marked(sides[1], sides[0])]
    return page(
        request, "compare.html", sides=marked, both=both, voices=[(name, called(service, name)) for name in voices],
        names=names, k=k, lengths=LENGTHS, who=user, asked=query.get("user", ""),
    )  # fmt: skip


def called(service: RecommenderService, name: str) -> str:
    """A model's name for people."""
    return f"{service.snapshot.model.name} (served)" if name == MAIN else name


def _side(service: RecommenderService, name: str, user: str | None, k: int) -> Side:
    told = service.recommend(RecommendRequest(k, user=user, model=name))
    snapshot = service.snapshot
    found = cards(snapshot, told.items)
    rows = np.array([snapshot.row(card.id) for card in found], np.int64)
    novelty = float(snapshot.stats.novelty[rows].mean()) if len(rows) else 0.0
    return Side(called(service, name), found, novelty, _diversity(snapshot, rows), told.source == "popular")


def _marked(side: Side, other: Side) -> Side:
    """The same, with how each item's place differs from the other list's."""
    places = {card.id: card.rank for card in other.cards}
    return replace(side, cards=[replace(card, note=_moved(card, places)) for card in side.cards])


def _moved(card: Card, places: Mapping[str, int]) -> str:
    if card.id not in places:
        return "only here"
    moved = places[card.id] - card.rank
    return "same place" if not moved else f"{abs(moved)} {'higher' if moved > 0 else 'lower'}"


def _diversity(snapshot: ModelSnapshot, rows: IntArray) -> float:
    """One minus the mean cosine of pairs, by content."""
    vectors = snapshot.stats.content_vectors(rows)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    n = len(vectors)
    return float(1 - (vectors.sum(0) @ vectors.sum(0) - n) / (n * (n - 1))) if n > 1 else 0.0
