"""Metrics beyond accuracy: coverage of the catalogue, popularity, novelty and serendipity of ranked lists.

Lists are ``ids`` int64 [n, k], item rows with -1 where a list is shorter. Per-user values are means over the items in
the list; an empty list has the value NaN.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import RaggedArray
from palate.core.errors import ConfigError, DataError
from palate.metrics.lists import hits_of

IntArray = NDArray[np.int64]
Floats = NDArray[np.float64]
Numbers = NDArray[np.integer] | NDArray[np.floating]


def item_counts(ids: IntArray, n_items: int) -> IntArray:
    """Count the lists in which each item appears.

    Args:
        ids: int64 [n, k].
        n_items: number of items.

    Returns:
        int64 [n_items].

    Raises:
        DataError: an item row is out of range.
    """
    listed = ids[ids >= 0]
    if len(listed) and listed.max() >= n_items:
        raise DataError(f"a list contains item row {listed.max()}, but there are {n_items} items")
    return np.bincount(listed, minlength=n_items)


def coverage(ids: IntArray, n_items: int) -> float:
    """Share of the catalogue that appears in at least one list.

    Args:
        ids: int64 [n, k].
        n_items: number of items.

    Raises:
        DataError: an item row is out of range.
    """
    return float((item_counts(ids, n_items) > 0).mean())


def gini(ids: IntArray, n_items: int) -> float:
    """Gini index of exposure: sum_j (2 j - n - 1) p_j / (n - 1), p ascending, j from 1, n the *full* catalogue.

    0: all items are shown equally often; 1: one item fills every list (this is the small-sample form; dividing by n
    instead never reaches 1). Items never shown count with p = 0. A catalogue of one item has 0.

    Args:
        ids: int64 [n, k].
        n_items: number of items.

    Raises:
        DataError: an item row is out of range, or all lists are empty.
    """
    share = np.sort(_shares(ids, n_items))
    n = len(share)
    return float((2 * np.arange(1, n + 1) - n - 1) @ share / (n - 1)) if n > 1 else 0.0


def shannon_entropy(ids: IntArray, n_items: int) -> float:
    """Entropy of exposure, -sum p ln p, in nats; ln n_items if all items are shown equally often.

    Args:
        ids: int64 [n, k].
        n_items: number of items.

    Raises:
        DataError: an item row is out of range, or all lists are empty.
    """
    share = _shares(ids, n_items)
    share = share[share > 0]
    return float(-(share * np.log(share)).sum())


def novelty(ids: IntArray, item_users: IntArray, n_users: int) -> Floats:
    """Mean inverse user frequency per list: the mean of -log2(users of the item / n_users), in bits.

    Args:
        ids: int64 [n, k].
        item_users: int64 [N], training users of each item; an item without users counts as one of a single user, or it
            would be infinitely novel.
        n_users: training users.

    Returns:
        float64 [n].

    Raises:
        DataError: an item row is out of range.
    """
    return _mean_of(ids, -np.log2(np.maximum(item_users, 1) / n_users))


def average_popularity(ids: IntArray, popularity: Numbers) -> Floats:
    """Mean training popularity of each list's items; its mean over users is ARP (Yin et al., VLDB 2012).

    Args:
        ids: int64 [n, k].
        popularity: [N].

    Returns:
        float64 [n].

    Raises:
        DataError: an item row is out of range.
    """
    return _mean_of(ids, popularity)


def long_tail(popularity: Numbers, head_share: float = 0.8) -> NDArray[np.bool_]:
    """Find the items outside the head, the fewest most popular items with ``head_share`` of all events.

    Equal popularity is decided by the lower row first.

    Args:
        popularity: [N], events of each item.
        head_share: of all events, in (0, 1].

    Returns:
        bool [N].

    Raises:
        ConfigError: ``head_share`` is out of range.
    """
    if not 0.0 < head_share <= 1.0:
        raise ConfigError(f"{head_share} is outside (0, 1]", key="head_share")
    weight = popularity.astype(np.float64)
    order = np.argsort(-weight, kind="stable")
    before = np.cumsum(weight[order]) - weight[order]
    tail = np.ones(len(weight), np.bool_)
    tail[order[before < head_share * weight.sum()]] = False
    return tail


def aplt(ids: IntArray, tail: NDArray[np.bool_]) -> Floats:
    """Share of long-tail items in each list (Abdollahpouri et al., RecSys 2017).

    Args:
        ids: int64 [n, k].
        tail: bool [N], see :func:`long_tail`.

    Returns:
        float64 [n].

    Raises:
        DataError: an item row is out of range.
    """
    return _mean_of(ids, tail)


def popularity_overlap(ids: IntArray, popularity: Numbers) -> Floats:
    """Share of each list that is also in the k most popular items (k the lists' width; ties to the lower row).

    Args:
        ids: int64 [n, k].
        popularity: [N].

    Returns:
        float64 [n].

    Raises:
        DataError: an item row is out of range.
    """
    popular = np.zeros(len(popularity), np.bool_)
    popular[np.argsort(-popularity.astype(np.float64), kind="stable")[: ids.shape[1]]] = True
    return _mean_of(ids, popular)


def serendipity(ids: IntArray, relevant: RaggedArray, popularity: Numbers) -> Floats:
    """Per list, (1/k) sum over relevant items of max(p - q, 0).

    With n items, p = (n + 1 - rank in the list) / n and q = (n + 1 - popularity rank) / n, where equally popular items
    share a rank, ranks have no gaps, and an item without training events has q = 0 (as RecTools does).

    Args:
        ids: int64 [n, k].
        relevant: n lists of relevant item rows.
        popularity: [N], training events.

    Returns:
        float64 [n].
    """
    n = len(popularity)
    _, level = np.unique(-popularity.astype(np.float64), return_inverse=True)
    q = np.where(popularity > 0, (n - level) / n, 0.0)
    p = (n - np.arange(ids.shape[1])) / n
    surprise = np.maximum(p - q[np.maximum(ids, 0)], 0.0)
    mean: Floats = (surprise * hits_of(ids, relevant)).mean(axis=1)
    return mean


def popreo(ids: IntArray, relevant: RaggedArray, groups: IntArray) -> float:
    """Ranking-based equal opportunity over item groups (Zhu et al., SIGIR 2020): std / mean of P(listed | g, relevant).

    The probability is hits / relevant pairs of the group. Groups without relevant pairs are left out; 0 is fair.

    Args:
        ids: int64 [n, k].
        relevant: n lists of relevant item rows, without repeats.
        groups: int [N], group of each item (for PopREO, popularity groups).

    Raises:
        DataError: no group is ever listed.
    """
    listed = np.bincount(groups[ids[hits_of(ids, relevant)]], minlength=groups.max() + 1)
    return _relative_spread(listed, np.bincount(groups[relevant.items], minlength=groups.max() + 1))


def poprsp(ids: IntArray, groups: IntArray, exclude: RaggedArray | None = None) -> float:
    """Ranking-based statistical parity over item groups (Zhu et al., SIGIR 2020): std / mean of P(listed | g).

    The probability is listed pairs / candidate pairs of the group, over all users. Groups without candidates are left
    out; 0 is fair.

    Args:
        ids: int64 [n, k].
        groups: int [N], group of each item.
        exclude: per user, items that were not candidates, without repeats.

    Raises:
        DataError: no group is ever listed.
    """
    width = int(groups.max()) + 1
    candidates = np.bincount(groups, minlength=width) * len(ids)
    if exclude is not None:
        candidates = candidates - np.bincount(groups[exclude.items], minlength=width)
    return _relative_spread(np.bincount(groups[ids[ids >= 0]], minlength=width), candidates)


def _relative_spread(part: IntArray, total: IntArray) -> float:
    rate = part[total > 0] / total[total > 0]
    if len(rate) == 0 or rate.sum() == 0:
        raise DataError("no group is ever listed", hint="the lists or the relevant items are empty")
    return float(rate.std() / rate.mean())


def _shares(ids: IntArray, n_items: int) -> Floats:
    counts = item_counts(ids, n_items)
    if counts.sum() == 0:
        raise DataError("all lists are empty")
    shares: Floats = counts / counts.sum()
    return shares


def _mean_of(ids: IntArray, value: Numbers | NDArray[np.bool_]) -> Floats:
    """Mean of ``value`` [N] over the items of each list."""
    present = ids >= 0
    if ids.max(initial=-1) >= len(value):
        raise DataError(f"a list contains item row {ids.max()}, but there are {len(value)} items")
    total = np.where(present, value.astype(np.float64)[np.maximum(ids, 0)], 0.0).sum(axis=1)
    count = present.sum(axis=1)
    mean: Floats = np.divide(total, count, out=np.full(len(ids), np.nan), where=count > 0)
    return mean
