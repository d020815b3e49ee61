"""Lists of two models for the same user, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.batch import IntArray
from palate.serving.page.cards import Card, item_cards
from palate.serving.page.cookies import current_user
from palate.serving.page.render import render_page, service_of
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService
from palate.serving.snapshot import MAIN, ModelSnapshot
from palate.serving.stages.pipeline import Fallback

FALLBACKS: dict[Fallback, str] = {
    "new_user": "Nothing is known of this user, so the most popular items are shown.",
    "unknown_to_model": "This model was fitted without this user, so the most popular items are shown.",
    "late": "This model took too long just now, so this is not its present list: reload to try again.",
    "failed": "This model could not make its list just now, so the most popular items are shown.",
    "history_unavailable": "The likes of this user cannot be read at the moment, so the most popular items are shown.",
}
"""What to say of a list that is not the model's own."""
LENGTHS = (10, 20, 50)
"""Lengths of a list that are offered."""


@dataclass(frozen=True)
class ModelList:
    """The list of one model.

    Attributes:
        name: name of the model for people.
        cards: the list.
        novelty: mean over the list, 0 to 1.
        diversity: mean over pairs of the list, 0 to 1.
        fallback: what to say where the list is not the model's own; empty where it is.
        notes: parts of the request that were left out.
    """

    name: str
    cards: list[Card]
    novelty: float
    diversity: float
    fallback: str
    notes: tuple[str, ...] = ()


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/compare")(compare)


def compare(request: Request) -> Response:
    """Compare the models ``left`` and ``right`` for ``user``, by default the current one.

    Args:
        request: the request.

    Raises:
        ConfigError: for an unknown model.
    """
    service, query = service_of(request), request.query_params
    models = service.model_names
    names = [query.get("left") or MAIN, query.get("right") or (models[1] if len(models) > 1 else MAIN)]
    k = next((k for k in LENGTHS if query.get("k") == str(k)), LENGTHS[0])
    user = query.get("user", "").strip() or current_user(request)
    left, right = (_model_list(service, name, user, k) for name in names)
    shared = {card.id for card in left.cards} & {card.id for card in right.cards}
    return render_page(
        request,
        "compare.html",
        lists=[_with_notes(left, right), _with_notes(right, left)],
        shared=shared,
        models=[(name, _display_name(service, name)) for name in models],
        names=names,
        k=k,
        lengths=LENGTHS,
        compared_user=user,
        user_field=query.get("user", ""),
    )


def _display_name(service: RecommenderService, name: str) -> str:
    return f"{service.snapshot.model.name} (served)" if name == MAIN else name


def _model_list(service: RecommenderService, name: str, user: str | None, k: int) -> ModelList:
    response = service.recommend(RecommendRequest(k, user=user, model=name))
    snapshot = service.snapshot
    cards = item_cards(snapshot, response.items)
    rows = np.array([snapshot.row(card.id) for card in cards], np.int64)
    return ModelList(
        _display_name(service, name),
        cards,
        float(snapshot.stats.novelty[rows].mean()) if len(rows) else 0.0,
        _diversity(snapshot, rows),
        "" if response.fallback is None else FALLBACKS[response.fallback],
        response.notes,
    )


def _with_notes(own: ModelList, other: ModelList) -> ModelList:
    """The same list, with a note on each card: how its rank differs in the other list."""
    ranks = {card.id: card.rank for card in other.cards}
    return replace(own, cards=[replace(card, note=_rank_change(card, ranks)) for card in own.cards])


def _rank_change(card: Card, ranks: Mapping[str, int]) -> str:
    if card.id not in ranks:
        return "only here"
    change = ranks[card.id] - card.rank
    return "same rank" if not change else f"{abs(change)} {'higher' if change > 0 else 'lower'}"


def _diversity(snapshot: ModelSnapshot, rows: IntArray) -> float:
    """One minus the mean cosine of pairs, by content."""
    vectors = snapshot.stats.content_vectors(rows)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    n = len(vectors)
    return float(1 - (vectors.sum(0) @ vectors.sum(0) - n) / (n * (n - 1))) if n > 1 else 0.0
