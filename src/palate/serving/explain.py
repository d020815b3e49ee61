"""Explain a recommendation: what its score loses when an item of the history, a modality or behaviour is left out.

Every figure is a difference of two scores of the model that answers. The share of an item of the history is the loss
when it is taken out of the history. The recommended item is scored once more as a copy without interactions: what it
loses is the share of *behaviour*; what a copy without a modality loses further is the share of that *modality*. Shares
are losses above 0, scaled to sum to 1 within their kind; attributes are values that the item has in common with items
of the history, as they stand in the catalogue. Nothing is claimed that was not computed or read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.core.shared_copy import shared_copy
from palate.features.trainable import FUSED
from palate.generation.taste import spelling
from palate.serving.requests import Explanation, HistoryShare, SharedValue
from palate.serving.snapshot import ModelSnapshot, ResolvedModel, ServedModel
from palate.serving.user_state import UserState

MAX_HISTORY = 12
"""Items of the history that are left out one by one, the latest."""
MAX_NAMED, MIN_SHARE = 2, 0.1
"""Items of the history that are named as reasons, at most; and the share of the loss that each must have."""
MODALITY_NAMES = {"text": "Text", "image": "Image", "audio": "Sound", "video": "Video", "attributes": "Attributes"}
BEHAVIOUR_NAME = "Choices of other people"
PHRASES = {
    "text": "a similar text",
    "image": "a similar image",
    "audio": "a similar sound",
    "video": "a similar video",
    "attributes": "similar attributes",
}
"""What an item has that carried its score, as a part of a sentence."""


class SharedRows(NamedTuple):
    """An attribute value in common.

    Attributes:
        column: column of the attribute.
        value: the value.
        rows: rows of the items of the history that share it.
    """

    column: str
    value: str
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Attribution:
    """What carried a score, in rows.

    Attributes:
        score: score of the item.
        history: (row, share) of items of the history, the greatest first.
        modalities: (name, share); empty where the model reads none, or cannot tell them apart.
        behaviour: share of interactions, next to those of modalities; None where it cannot be told apart.
        attributes: values in common with items of the history, the most telling first; none that a fifth of all share.
    """

    score: float
    history: tuple[tuple[int, float], ...]
    modalities: tuple[tuple[str, float], ...]
    behaviour: float | None
    attributes: tuple[SharedRows, ...]


def leave_one_out(
    model: ServedModel, history: IntArray, rows: IntArray, most: int = MAX_HISTORY
) -> NDArray[np.float32]:
    """Loss of the score of each item when an item of the history is left out.

    O(catalogue) for each of the last ``most`` items of the history; the losses of earlier ones are 0, as
    are all losses of a model that takes no history.

    Args:
        model: model that scores.
        history: int64 [n], rows of items taken, oldest first.
        rows: int64 [m], rows of the items to explain.
        most: items that are left out, one at a time.

    Returns:
        float32 [n, m].

    Raises:
        UnsupportedError: if the model only lists items.
    """
    model.require_scores("an explanation")
    out = np.zeros((len(history), len(rows)), np.float32)
    if not model.new_users or not len(history):
        return out
    latest = np.arange(max(0, len(history) - most), len(history))
    histories = [history, *(np.delete(history, at) for at in latest)]
    batch = UserBatch(np.full(len(histories), -1), RaggedArray.of([one.tolist() for one in histories]))
    with torch.inference_mode():
        scores = model.scorer.matcher.score(batch, rows).numpy()
    if len(history) > 1:
        out[latest] = scores[0] - scores[1:]
    else:
        out[0] = 1.0
    return out


def history_shares(losses: NDArray[np.float32]) -> NDArray[np.float32]:
    """Shares of the items of a history in the loss of one score; all 0 where nothing is lost.

    Args:
        losses: float32 [n], of :func:`leave_one_out`.
    """
    positive = np.maximum(losses, 0)
    total = positive.sum()
    return np.asarray(positive / total if total > 0 else positive, np.float32)


def named_reasons(shares: Sequence[float] | NDArray[np.float32]) -> list[int]:
    """Places of the shares that are named as reasons, the greatest first: few, and none that carries little.

    Args:
        shares: shares of the items of a history.
    """
    order = np.argsort(-np.asarray(shares, np.float64), kind="stable")[:MAX_NAMED]
    return [int(at) for at in order if shares[at] >= MIN_SHARE]


def attribute_score(resolved: ResolvedModel, user: UserState, row: int) -> Attribution:
    """What carried the score of one item for one user.

    Args:
        resolved: model that scores, and its snapshot.
        user: the user.
        row: row of the item.

    Raises:
        UnsupportedError: if the model only lists items.
    """
    snapshot, model = resolved
    model.require_scores("an explanation")
    rows = np.array([row])
    batch = snapshot.user_batch(user.user, user.history, user.has_new_events and model.new_users)
    with torch.inference_mode():
        score = float(model.scorer.matcher.score(batch, rows)[0, 0])
    shares = history_shares(leave_one_out(model, user.history, rows)[:, 0])
    order = np.argsort(-shares, kind="stable")
    modalities, behaviour = _modality_shares(resolved, batch, row, score)
    return Attribution(
        score,
        tuple((int(user.history[at]), float(shares[at])) for at in order if shares[at] > 0),
        modalities,
        behaviour,
        _shared_attributes(snapshot, user.history, row),
    )


def explain(resolved: ResolvedModel, user: UserState, row: int) -> Explanation:
    """Explain the score of one item for one user, in ids and as a sentence.

    Args:
        resolved: model that scores, and its snapshot.
        user: the user.
        row: row of the item.

    Raises:
        UnsupportedError: if the model only lists items.
    """
    found = attribute_score(resolved, user, row)
    ids, titles = resolved.snapshot.ids, resolved.snapshot.stats.titles
    return to_sentence(
        Explanation(
            ids[row],
            titles[row],
            found.score,
            tuple(HistoryShare(ids[at], titles[at], share) for at, share in found.history),
            found.modalities,
            found.behaviour,
            tuple(
                SharedValue(column, value, tuple(ids[at] for at in rows)) for column, value, rows in found.attributes
            ),
            "",
        ),
        {ids[at] for at in user.clicked.tolist()},
    )


def to_sentence(explanation: Explanation, clicked: Collection[str] = ()) -> Explanation:
    """The same explanation with its ``text``.

    Args:
        explanation: the explanation.
        clicked: ids of the items of the history that were only clicked.
    """
    named = [explanation.history[at] for at in named_reasons([one.share for one in explanation.history])]
    because = []
    for verb, titles in (
        ("liked", [one.title for one in named if one.item not in clicked]),
        ("viewed", [one.title for one in named if one.item in clicked]),
    ):
        if titles:
            because.append(f"{verb} {_enumerate(titles)}")
    contents = [(PHRASES.get(name, f"similar {name}"), share) for name, share in explanation.modalities if share > 0]
    similar = [f"{phrase} ({share:.0%})" for phrase, share in sorted(contents, key=lambda part: -part[1])[:2]]
    shared = [value for _, value, _ in explanation.attributes[:2]]
    sentences = []
    if because:
        sentences.append(f"Recommended because you {' and '.join(because)}")
    if similar and shared:
        sentences.append(f"It has {_enumerate(similar)} and shares {_enumerate(shared)}")
    elif similar or shared:
        sentences.append(f"It has {_enumerate(similar)}" if similar else f"It shares {_enumerate(shared)}")
    if explanation.behaviour:
        sentences.append(f"The choices of other people count for {explanation.behaviour:.0%}")
    return replace(explanation, text=". ".join(sentences) or "Nothing that is known about you speaks for it")


def _modality_shares(
    resolved: ResolvedModel, batch: UserBatch, row: int, score: float
) -> tuple[tuple[tuple[str, float], ...], float | None]:
    """Shares of modalities and of behaviour, by copies of the item that come after the last row."""
    snapshot, served = resolved
    model, content, size = snapshot.model, snapshot.content.model_features(snapshot.features), len(snapshot)
    if not model.capabilities.new_items or FUSED in content:
        return (), None
    sources = content.sources
    present = [name for name, features in content.items() if features.kind == "pooled" and features.present[row]]
    modalities = sorted({source for name in present for source in sources.get(name, (name,))})
    if not modalities:
        return (), None
    # the first copy has all content; each of the others lacks one modality
    missing: list[str | None] = [None, *modalities]
    extended = shared_copy(model)
    copies = {n: _with_copies(features, row, missing, sources.get(n, (n,))) for n, features in content.items()}
    extended.update_items(ItemFeatures.of(copies, size + len(missing)))
    with torch.inference_mode():
        scorer = extended.scorer()
        scorer = scorer.members().get(served.name, scorer).matcher
        if not scorer.scorable()[size]:
            return (), None
        rows = np.arange(size, size + len(missing))
        scores = scorer.score(batch, rows)[0].numpy()
        # an item without any content that the model reads is like any other to it
        if not scorer.scorable()[rows].all():
            average = float(served.scorer.matcher.score(batch)[0].numpy()[served.eligible].mean())
            scores = np.where(scorer.scorable()[rows], scores, average)
    losses = np.maximum(scores[0] - scores[1:], 0)
    behaviour = max(score - float(scores[0]), 0.0)
    total = float(losses.sum()) + behaviour
    if total <= 0:
        return tuple((name, 0.0) for name in modalities), 0.0
    shares = sorted(zip(modalities, (losses / total).tolist()), key=lambda part: -part[1])
    return tuple(shares), behaviour / total


def _with_copies(features: Features, row: int, missing: Sequence[str | None], sources: Sequence[str]) -> Features:
    """``features`` with copies of one row at the end, each without one modality."""
    keep = np.array([modality is None or modality not in sources for modality in missing])
    keep &= bool(features.present[row])
    values = np.where(keep[:, None], features.values[row], 0).astype(features.values.dtype)
    return replace(
        features,
        values=np.concatenate([features.values, values]),
        present=np.concatenate([features.present, keep]),
    )


def _shared_attributes(snapshot: ModelSnapshot, history: IntArray, row: int) -> tuple[SharedRows, ...]:
    """Attribute values in common with items of the history, by how much more often they are taken than by others."""
    taste, cells = snapshot.stats.taste, snapshot.items.frame[list(snapshot.stats.taste.values)]
    if not cells.width:
        return ()
    others = {int(at): cells.row(int(at), named=True) for at in history[-MAX_HISTORY:]}
    item = cells.row(row, named=True)
    return tuple(
        SharedRows(one.column, spelling(item[one.column], one.value), one.rows) for one in taste.likes(others, item)
    )


def _enumerate(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
