"""Judges of systems that score content for users: does a user find the new items that they take?"""

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
from palate.models.pretrain.shared.inputs import ItemInputs


def auc(modality: str) -> Judge:
    """Per-user AUC: the probability that a new item they took ranks above one they did not take."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        users, taken = _eval_users(data)
        return _by_user(
            _affinity(model, users, vectors(encoders[modality], modality, data, unseen(data)).values), taken
        )

    return judge


def joint_auc(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """As :func:`auc`, by one vector an item of all its modalities; items that lack one are left out."""
    users, taken = _eval_users(data)
    raw = {m: data.items.raw(m, unseen(data)) for m in encoders}
    inputs = ItemInputs({m: e.of.encode(raw[m]) for m, e in encoders.items() if isinstance(e, Tower)})
    model.views.set_inputs(inputs)
    complete = np.flatnonzero(np.all([inputs.present(m) for m in encoders], axis=0))
    return _by_user(_affinity(model, users, model.encode_all(complete).numpy()), taken[:, complete])


def precision(modality: str) -> Judge:
    """Per-user precision of the new items predicted to be liked; 0.5 where none is.

    Equally many new items that the user took and did not take are scored. An item is predicted to be liked if it scores
    above the median of pairs with seen items, of which equally many were taken and not taken.
    """

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        rng = np.random.default_rng(seed)
        view = data.select_view()
        users, taken = _eval_users(data)
        seen = np.flatnonzero(view.warm_items)
        seen_scores = _affinity(model, users, vectors(encoders[modality], modality, data, seen).values)
        threshold = np.median(seen_scores[_balanced(view.matrix[users][:, seen].toarray() > 0, rng)])
        scores = _affinity(model, users, vectors(encoders[modality], modality, data, unseen(data)).values)
        liked = _balanced(taken, rng) & (scores > threshold)
        count = liked.sum(1)
        return np.where(count > 0, (liked & taken).sum(1) / np.maximum(count, 1), 0.5)

    return judge


def _eval_users(data: Dataset) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of test users who took some new items but not all; whether they took each, bool [U, new items]."""
    queries, new = data.test_queries(), unseen(data)
    taken = np.zeros((len(queries), data.n_items), bool)
    taken[queries.relevant.owners(), queries.relevant.items] = True
    taken = taken[:, new]
    useful = (queries.users.rows >= 0) & taken.any(1) & ~taken.all(1)
    return queries.users.rows[useful], taken[useful]


def _affinity(model: Pretrainer, users: NDArray[np.int64], items: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        scores = model.affinity(users, torch.from_numpy(items).to(model.device))
    return scores.cpu().numpy()


def _by_user(scores: NDArray[np.float32], taken: NDArray[np.bool_]) -> NDArray[np.float64]:
    useful = taken.any(1) & ~taken.all(1)
    scores, taken = scores[useful], taken[useful]
    owners = np.repeat(np.arange(len(taken)), taken.shape[1])
    return group_auc(taken.ravel().astype(np.int64), scores.ravel(), owners).auc


def _balanced(taken: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """For each user, all items they took and equally many they did not take."""
    order = np.where(taken, np.inf, rng.random(taken.shape)).argsort(1).argsort(1)
    return taken | (order < taken.sum(1, keepdims=True))
