"""Lists to learn reranking from: a matcher that did not see some positives lists for their users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from palate.batches.lists import ListBatches
from palate.core.batch import IntArray, RaggedArray
from palate.core.seeding import rng_for
from palate.data.views import TrainView


def hold_out(view: TrainView, share: float, seed: int) -> tuple[TrainView, RaggedArray]:
    """A view without some positives of each user, the newest where times are known, and these.

    Nothing of validation is in either: labels are training positives, so that validation judges what was learnt.

    Args:
        view: the training view.
        share: part of a user's positives, rounded up; users with a single one keep it.
        seed: draws them where no times are known.

    Returns:
        The view, and the held positives, ``n_users`` lists.
    """
    count = len(view)
    age = rng_for(seed, "held lists").random(count) if view.times is None else -view.times
    order = np.lexsort((np.arange(count), age, view.users))
    sizes = np.bincount(view.users, minlength=view.n_users)
    starts = np.cumsum(sizes) - sizes
    place = np.arange(count) - starts[view.users[order]]
    wanted = np.where(sizes > 1, np.minimum(np.ceil(share * sizes), sizes - 1), 0)
    held = np.zeros(count, bool)
    held[order] = place < wanted[view.users[order]]
    lists = RaggedArray.build(view.users[held], view.items[held], view.n_users)
    kept = replace(
        view,
        users=view.users[~held],
        items=view.items[~held],
        times=None if view.times is None else view.times[~held],
        event_codes=None if view.event_codes is None else view.event_codes[~held],
        valid=None,
    )
    return kept, lists


def labels_of(ids: IntArray, held: RaggedArray, n_items: int) -> np.ndarray:
    """Whether listed items are among those held out: float32 [lists, n].

    Args:
        ids: int64 [lists, n], -1 where a list is shorter.
        held: one list of items each.
        n_items: number of items.
    """
    taken = held.owners() * n_items + held.items
    listed = np.arange(len(ids))[:, None] * n_items + ids
    return (np.isin(listed, taken) & (ids >= 0)).astype(np.float32)


def with_labels(
    items: IntArray, known: np.ndarray, scores: np.ndarray, taste: np.ndarray, labels: np.ndarray
) -> ListBatches:
    """Only lists with a positive, which have something to learn from.

    Args:
        items: int64 [lists, n].
        known: bool [lists, n].
        scores: float32 [lists, n].
        taste: float32 [lists, d].
        labels: float32 [lists, n].
    """
    some = labels.any(1)
    return ListBatches(items[some], known[some], scores[some], taste[some], labels[some])
