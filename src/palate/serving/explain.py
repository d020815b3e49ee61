"""Why an item is shown: what its score loses when a liked item, a modality, or what people did is left out.

Every figure is a difference of two scores of the run's own scorer. A liked item's share is the loss when it is taken
out of the history. The item is scored once more as a twin that nobody has met, with the same content: what it loses is
what *people did* with it; what a twin without a modality loses further is that *modality's*. Shares are losses above 0,
scaled to sum to 1 within their kind; attributes are values that the item shares with the liked items, as they stand in
the table. Nothing is said that was not computed or read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.core.shared_copy import shared_copy
from palate.features.encoders.tfidf_attributes import attribute_values
from palate.features.trainable import FUSED

from .edition import Edition, Voice

LATEST = 12
"""Liked items that are weighed one by one, the latest."""


@dataclass(frozen=True)
class Evidence:
    """What carried a score.

    Attributes:
        score: of the item. liked: (row, share), the greatest first. modalities: (name, share); empty where the model
            reads none, or not apart. behaviour: share of what people did, beside the modalities', or None where they
            cannot be told apart. attributes: (column, value, rows of liked items that share it).
    """

    score: float
    liked: tuple[tuple[int, float], ...]
    modalities: tuple[tuple[str, float], ...]
    behaviour: float | None
    attributes: tuple[tuple[str, str, tuple[int, ...]], ...]


def because(edition: Edition, voice: Voice, liked: IntArray, rows: IntArray) -> NDArray[np.float32]:
    """float32 [liked, rows]: what the score of each item loses when one of the latest liked items is left out.

    Zero for those before the last :data:`LATEST`, and for a voice that takes no history. One scoring of the catalogue
    for each liked item that is weighed.
    """
    out = np.zeros((len(liked), len(rows)), np.float32)
    if not voice.new_users or not len(liked):
        return out
    latest = np.arange(max(0, len(liked) - LATEST), len(liked))
    histories = [liked, *(np.delete(liked, at) for at in latest)]
    batch = UserBatch(np.full(len(histories), -1), RaggedArray.of([history.tolist() for history in histories]))
    with torch.inference_mode():
        scores = voice.scorer.score(batch, rows).numpy()
    if len(liked) > 1:
        out[latest] = scores[0] - scores[1:]
    else:
        out[0] = 1.0
    return out


def explain(edition: Edition, voice: Voice, user: int, liked: IntArray, later: bool, row: int) -> Evidence:
    """Evidence for one item."""
    rows = np.array([row])
    batch = edition.batch(user, liked, later and voice.new_users)
    with torch.inference_mode():
        score = float(voice.scorer.score(batch, rows)[0, 0])
    losses = np.maximum(because(edition, voice, liked, rows)[:, 0], 0)
    shares = losses / losses.sum() if losses.sum() > 0 else losses
    order = np.argsort(-shares, kind="stable")
    modalities, behaviour = _parts(edition, voice, batch, row, score)
    return Evidence(
        score,
        tuple((int(liked[at]), float(shares[at])) for at in order if shares[at] > 0),
        modalities,
        behaviour,
        _shared(edition, liked, row),
    )


def _parts(
    edition: Edition, voice: Voice, batch: UserBatch, row: int, score: float
) -> tuple[tuple[tuple[str, float], ...], float | None]:
    """Shares of modalities and of behaviour, by twins of the item that come after the last row."""
    model = edition.model
    name = next((n for n, known in edition.voices.items() if known is voice), None)
    content = edition.content.model_features(edition.features)
    if not model.capabilities.new_items or FUSED in content:
        return (), None
    sources = content.sources
    there = [n for n, found in content.items() if found.kind == "pooled" and found.present[row]]
    found = sorted({source for n in there for source in sources.get(n, (n,))})
    if not found:
        return (), None
    # the first twin is whole; each of the others lacks one modality
    lacking: list[str | None] = [None, *found]
    beside = shared_copy(model)
    grown = {n: _with_twins(features, row, lacking, sources.get(n, (n,))) for n, features in content.items()}
    size = len(edition)
    beside.update_items(ItemFeatures.of(grown, size + len(lacking)))
    with torch.inference_mode():
        scorer = beside.scorer()
        names: list[str] = list(getattr(beside, "_names", []))
        if name in names:
            scorer = scorer.scorers[names.index(name)]  # type: ignore[attr-defined]
        if not scorer.scorable()[size]:
            return (), None
        twins = np.arange(size, size + len(lacking))
        scores = scorer.score(batch, twins)[0].numpy()
        # without all that the model reads, an item is like any other to it
        if not scorer.scorable()[twins].all():
            usual = float(voice.scorer.score(batch)[0].numpy()[voice.able].mean())
            scores = np.where(scorer.scorable()[twins], scores, usual)
    losses = np.maximum(scores[0] - scores[1:], 0)
    met = max(score - float(scores[0]), 0.0)
    total = float(losses.sum()) + met
    if total <= 0:
        return tuple((m, 0.0) for m in found), 0.0
    parts = sorted(zip(found, (losses / total).tolist()), key=lambda part: -part[1])
    return tuple(parts), met / total


def _with_twins(found: Features, row: int, lacking: Sequence[str | None], sources: Sequence[str]) -> Features:
    keep = np.array([gone is None or gone not in sources for gone in lacking]) & bool(found.present[row])
    values = np.where(keep[:, None], found.values[row], 0).astype(found.values.dtype)
    return replace(found, values=np.concatenate([found.values, values]), present=np.concatenate([found.present, keep]))


def _shared(edition: Edition, liked: IntArray, row: int) -> tuple[tuple[str, str, tuple[int, ...]], ...]:
    """Values of attributes that the item has in common with liked items; those that most share first."""
    out = []
    recent = liked[-LATEST:]
    for column in edition.items.columns("attributes"):
        series = edition.items.frame[column]
        if series.dtype.is_numeric():
            continue
        mine = _values(series[row])
        theirs: Mapping[int, set[str]] = {int(other): _values(series[int(other)]) for other in recent}
        for value in sorted(mine):
            having = tuple(other for other, values in theirs.items() if value in values)
            if having:
                out.append((column, value, having))
    return tuple(sorted(out, key=lambda found: -len(found[2])))


def _values(cell: object) -> set[str]:
    found = attribute_values(cell)
    return set(found) if isinstance(found, list) else set()
