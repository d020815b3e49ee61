"""Judges of systems that score users against content: do people find the new items that they take?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _points import Judge, unseen, vectors
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.metrics.rating import group_auc
from palate.models.pretrain._inputs import ItemInputs


def auc(modality: str) -> Judge:
    """For each user, the chance that a new item they took is above one they did not."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        users, taken = _asked(data)
        return _by_user(
            _affinity(model, users, vectors(encoders[modality], modality, data, unseen(data)).values), taken
        )

    return judge


def joint_auc(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """As :func:`auc`, by one vector an item of all its modalities; items that lack one are left out."""
    users, taken = _asked(data)
    raw = {m: data.items.raw(m, unseen(data)) for m in encoders}
    inputs = ItemInputs({m: e.of.encode(raw[m]) for m, e in encoders.items() if isinstance(e, Tower)})
    model.views.take(inputs)
    there = np.flatnonzero(np.all([inputs.present(m) for m in encoders], axis=0))
    return _by_user(_affinity(model, users, model.encode_all(there).numpy()), taken[:, there])


def precision(modality: str) -> Judge:
    """For each user, the share of right ones among the new items said to be liked; a half where none is.

    As many new items are asked about that the user took as that they did not. Liked is what scores above the median of
    pairs of seen items, as many taken as not.
    """

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        view = data.select_view(seed)
        users, taken = _asked(data)
        seen = np.flatnonzero(view.warm_items)
        known = _affinity(model, users, vectors(encoders[modality], modality, data, seen).values)
        line = np.median(known[_balanced(view.matrix[users][:, seen].toarray() > 0, rng)])
        scores = _affinity(model, users, vectors(encoders[modality], modality, data, unseen(data)).values)
        said = _balanced(taken, rng) & (scores > line)
        count = said.sum(1)
        return np.where(count > 0, (said & taken).sum(1) / np.maximum(count, 1), 0.5)

    return judge


def _asked(data: Dataset) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of test users who took some new items but not all, and who took what [U, new items]."""
    held, new = data.test_queries(), unseen(data)
    taken = np.zeros((len(held), data.n_items), bool)
    taken[held.relevant.owners(), held.relevant.items] = True
    taken = taken[:, new]
    useful = (held.users.rows >= 0) & taken.any(1) & ~taken.all(1)
    return held.users.rows[useful], taken[useful]


def _affinity(model: Pretrainer, users: NDArray[np.int64], items: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        found = model.affinity(users, torch.from_numpy(items).to(model.device))
    return found.cpu().numpy()


def _by_user(scores: NDArray[np.float32], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    useful = taken.any(1) & ~taken.all(1)
    scores, taken = scores[useful], taken[useful]
    owners = np.repeat(np.arange(len(taken)), taken.shape[1])
    return group_auc(taken.ravel().astype(np.int64), scores.ravel(), owners).auc


def _balanced(taken: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """All that was taken, and as much that was not, user by user."""
    order = np.where(taken, np.inf, rng.random(taken.shape)).argsort(1).argsort(1)
    return taken | (order < taken.sum(1, keepdims=True))
