"""Scores and vectors of a fitted model by external ids."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.contracts import Matcher, models
from palate.core.batch import IntArray, UserBatch
from palate.core.errors import DataError, UnsupportedError
from palate.ranking.scorer import Scorer
from palate.training.deployment import Deployment

BLOCK = 128
"""Users scored at once."""


class IdVectors(NamedTuple):
    """Vectors with the ids they belong to.

    Attributes:
        ids: external ids.
        vectors: float32 [n, d], one row an id; [n, m, d] for users with several interests.
    """

    ids: pl.Series
    vectors: NDArray[np.float32]


def predict(model: Matcher, deployment: Deployment, users: Any, items: Any) -> pl.DataFrame:
    """Scores of pairs, see :meth:`palate.models.base.Recommender.predict`.

    Memory O(pairs + BLOCK * items).

    Args:
        model: fitted.
        deployment: of the model.
        users: one id, or one for each pair.
        items: one id, or one for each pair.

    Raises:
        DataError: for an unknown id, or two lists of different lengths.
        UnsupportedError: for a model that lists items without scoring each.
    """
    user_ids, item_ids = _paired(users, items)
    rows, wanted = deployment.users.rows(user_ids), deployment.items.ids.rows(item_ids)
    scores = np.full(len(rows), np.nan, np.float32)
    with torch.inference_mode():
        scorer = model.scorer()
        if not scorer.can_score:
            raise UnsupportedError(f"{model.name} lists items without scores of single items", hint="use recommend")
        known = scorer.scorable()
        distinct, owner = np.unique(rows, return_inverse=True)
        order = np.argsort(owner, kind="stable")
        ends = np.searchsorted(owner[order], np.arange(0, len(distinct) + BLOCK, BLOCK))
        for block, (start, stop) in enumerate(itertools.pairwise(ends)):
            asked = order[start:stop]
            columns, place = np.unique(wanted[asked], return_inverse=True)
            some = distinct[block * BLOCK : (block + 1) * BLOCK]
            found = scorer.score(UserBatch(some, deployment.seen.take(some)), columns).float().cpu().numpy()
            scores[asked] = found[owner[asked] - block * BLOCK, place]
    scores[~known[wanted]] = np.nan
    ids = deployment.users.ids.gather(rows), deployment.items.ids.ids.gather(wanted)
    return pl.DataFrame({"user": ids[0], "item": ids[1], "score": pl.Series(scores).fill_nan(None)})


def item_vectors(model: Matcher, deployment: Deployment) -> IdVectors:
    """Vectors of all items, see :meth:`palate.models.base.Recommender.item_vectors`.

    Args:
        model: fitted.
        deployment: of the model.

    Raises:
        UnsupportedError: for a model without vectors.
    """
    with torch.inference_mode():
        vectors = _with_vectors(model).item_vectors()
    return IdVectors(deployment.items.ids.ids, np.ascontiguousarray(vectors.cpu().numpy(), np.float32))


def user_vectors(model: Matcher, deployment: Deployment, users: Any = None) -> IdVectors:
    """Vectors of users, see :meth:`palate.models.base.Recommender.user_vectors`.

    Args:
        model: fitted.
        deployment: of the model.
        users: one id or several; all if not given.

    Raises:
        DataError: for an unknown id.
        UnsupportedError: for a model without vectors.
    """
    rows: IntArray = np.arange(len(deployment.users))
    if users is not None:
        rows = np.array(deployment.users.rows(as_list(users)))
    with torch.inference_mode():
        vectors = _with_vectors(model).user_vectors(UserBatch(rows, deployment.seen.take(rows)))
    return IdVectors(deployment.users.ids.gather(rows), np.ascontiguousarray(vectors.cpu().numpy(), np.float32))


def as_list(ids: Any) -> list[Any]:
    """One id, or several, as a list."""
    return [ids] if isinstance(ids, (str, bytes, int)) else list(ids)


def _paired(users: Any, items: Any) -> tuple[list[Any], list[Any]]:
    """Two lists of one length; a single id is repeated."""
    one_user, one_item = (isinstance(ids, (str, bytes, int)) for ids in (users, items))
    user_ids, item_ids = as_list(users), as_list(items)
    if one_user:
        user_ids = user_ids * len(item_ids)
    elif one_item:
        item_ids = item_ids * len(user_ids)
    if len(user_ids) != len(item_ids):
        raise DataError(
            f"{len(user_ids)} users and {len(item_ids)} items are no pairs",
            hint="give one item for each user, or a single user or item",
        )
    return user_ids, item_ids


def _with_vectors(model: Matcher) -> Scorer:
    scorer = model.scorer()
    if type(scorer).item_vectors is Scorer.item_vectors:
        able = [name for name, kind in models.items() if callable(getattr(kind, "vectors", None))]
        raise UnsupportedError(f"{model.name} scores without vectors", hint=f"models that have them: {', '.join(able)}")
    return scorer
