"""Plan how many cells of each band a search reads, so that most true neighbours are found in the fewest rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.serving.index.norm_bands import NormBand

TARGET_RECALL = 0.98
"""Share of the true neighbours that must be found, by weight."""
NEIGHBOR_DEPTH = 500
"""Neighbours that are looked for. A neighbour weighs 1 / rank: a filter that allows a tenth of the rows moves what is
wanted ten times deeper, and every tenfold depth weighs the same; here the best ten are 43 % of all, the best fifty
66 %."""


@dataclass(frozen=True)
class SearchPlan:
    """Cells that a search reads.

    Attributes:
        probes: number of cells of each band.
        recall: share of the true neighbours in them, by weight.
        rows: mean number of rows that a query reads.
    """

    probes: list[int]
    recall: float
    rows: float


def neighbor_weights(truth: IntArray) -> NDArray[np.float64]:
    """Weights of true neighbours: 1 / rank, scaled to sum to 1.

    Args:
        truth: int64 [q, depth], the best rows of each query; -1 is none.

    Returns:
        float64 [q, depth], 0 where ``truth`` is -1.
    """
    weights = np.where(truth >= 0, 1 / np.arange(1, truth.shape[1] + 1), 0.0)
    return np.asarray(weights / max(weights.sum(), 1e-12))


def plan_search(
    bands: list[NormBand],
    members: list[IntArray],
    vectors: NDArray[np.float32],
    queries: NDArray[np.float32],
    truth: IntArray,
) -> SearchPlan:
    """Greedy: always the next cells that hold most weight of neighbours per row read, until enough are found.

    The next cells of a band are taken together as far as that gives most per row, so that a poor cell before rich ones
    does not end the search. O(q * (cells + depth)) and, for each step, O(cells).

    Args:
        bands: the bands.
        members: rows of each band, ascending.
        vectors: float32 [n, d].
        queries: float32 [q, d].
        truth: int64 [q, depth], the best rows of each query; -1 is none.
    """
    weights = neighbor_weights(truth)
    gains, costs = [], []
    for band, rows in zip(bands, members):
        order = band.nearest_cells(queries)
        costs.append(np.concatenate([[0.0], band.sizes[order].cumsum(1).mean(0)]))
        place = np.minimum(np.searchsorted(rows, truth), len(rows) - 1)
        query, rank = np.nonzero((rows[place] == truth) & (truth >= 0))
        neighbors = truth[query, rank]
        steps = np.empty_like(order)
        np.put_along_axis(steps, order, np.broadcast_to(np.arange(order.shape[1]), order.shape), 1)
        step = steps[query, band.cell_of(vectors[neighbors])] if len(neighbors) else neighbors
        gain = np.bincount(step, weights=weights[query, rank], minlength=order.shape[1])
        gains.append(np.concatenate([[0.0], gain.cumsum()]))
    probes = [0] * len(bands)
    while sum(gain[at] for gain, at in zip(gains, probes)) < TARGET_RECALL * weights.sum():
        steps_to = [_richest(gain, cost, at) for gain, cost, at in zip(gains, costs, probes)]
        best = max(range(len(bands)), key=lambda band: steps_to[band][0])
        if steps_to[best][0] <= 0:
            break
        probes[best] = steps_to[best][1]
    recall = float(sum(gain[at] for gain, at in zip(gains, probes)))
    return SearchPlan(probes, recall, float(sum(cost[at] for cost, at in zip(costs, probes))))


def _richest(gain: NDArray[np.float64], cost: NDArray[np.float64], at: int) -> tuple[float, int]:
    """Weight per row of the best way on from ``at`` cells, and how many cells are read then."""
    if at + 1 >= len(gain):
        return 0.0, at
    rates = (gain[at + 1 :] - gain[at]) / np.maximum(cost[at + 1 :] - cost[at], 1.0)
    best = int(rates.argmax())
    return float(rates[best]), at + 1 + best
