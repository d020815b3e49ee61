"""Duration bias: long items are watched (or read) longer, liked or not; quantiles within durations remove it.

D2Q (Zhan et al., KDD 2022): events are split by duration into groups of equal size, and the label is the share of the
group's watch times that are at most this one. A model learns this label; its prediction becomes a watch time again by
the inverse of the distribution of the group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError

Floats = NDArray[np.float64]
POINTS = 129
"""Quantiles that are kept of the watch times of a group."""


@dataclass(frozen=True, eq=False)
class DurationQuantiles:
    """Distributions of watch time by group of durations.

    Attributes:
        edges: float64 [groups - 1], ascending; a duration equal to an edge belongs to the group above.
        quantiles: float64 [groups, points], watch times at evenly spaced quantiles from 0 to 1.
    """

    edges: Floats
    quantiles: Floats

    @classmethod
    def fit(cls, durations: ArrayLike, watched: ArrayLike, groups: int = 30) -> Self:
        """Fit the distributions on training events.

        Args:
            durations: float [n], of the items.
            watched: float [n], watch times.
            groups: of equal numbers of events; there are fewer where many durations are equal.

        Returns:
            The distributions.

        Raises:
            ConfigError: fewer than 1 group.
            DataError: shapes differ, there are no events, or a value is not finite.
        """
        if groups < 1:
            raise ConfigError("must be at least 1", key="groups")
        lengths, times = _pair(durations, watched, "watched")
        if not len(lengths):
            raise DataError("there are no events", hint="quantiles need at least one watch time")
        inner = np.quantile(lengths, np.arange(1, groups) / groups)
        edges = np.unique(inner[inner > lengths.min()])
        owner = np.searchsorted(edges, lengths, side="right")
        order = np.argsort(owner, kind="stable")
        parts = np.split(times[order], np.cumsum(np.bincount(owner, minlength=len(edges) + 1))[:-1])
        return cls(edges, np.stack([np.quantile(part, np.linspace(0, 1, POINTS)) for part in parts]))

    def labels(self, durations: ArrayLike, watched: ArrayLike) -> Floats:
        """Share of the group's watch times below each, a tie counting one half, float64 [n] in [0, 1].

        Args:
            durations: float [n].
            watched: float [n].

        Raises:
            DataError: shapes differ, or a value is not finite.
        """
        lengths, times = _pair(durations, watched, "watched")
        out = np.empty(len(times))
        for group, rows in self._rows(lengths):
            known = self.quantiles[group]
            low, high = np.searchsorted(known, times[rows]), np.searchsorted(known, times[rows], side="right")
            inside = np.interp(times[rows], known, np.arange(POINTS))
            place = np.where(high > low, (low + high - 1) / 2, inside)
            out[rows] = place / (POINTS - 1)
        return out

    def watch_times(self, durations: ArrayLike, labels: ArrayLike) -> Floats:
        """Watch times float64 [n] of predicted labels, the inverse of :meth:`labels`.

        Args:
            durations: float [n].
            labels: float [n]; those outside [0, 1] count as the nearest end.

        Raises:
            DataError: shapes differ, or a value is not finite.
        """
        lengths, shares = _pair(durations, labels, "labels")
        out = np.empty(len(shares))
        for group, rows in self._rows(lengths):
            out[rows] = np.interp(shares[rows], np.linspace(0, 1, POINTS), self.quantiles[group])
        return out

    def _rows(self, lengths: Floats) -> list[tuple[int, NDArray[np.int64]]]:
        owner = np.searchsorted(self.edges, lengths, side="right")
        order = np.argsort(owner, kind="stable")
        parts = np.split(order, np.cumsum(np.bincount(owner, minlength=len(self.quantiles)))[:-1])
        return [(group, rows) for group, rows in enumerate(parts) if len(rows)]


def _pair(durations: ArrayLike, values: ArrayLike, name: str) -> tuple[Floats, Floats]:
    lengths, other = np.asarray(durations, np.float64), np.asarray(values, np.float64)
    if lengths.ndim != 1 or lengths.shape != other.shape:
        raise DataError(f"durations of shape {lengths.shape} and {name} of shape {other.shape}", hint="both need [n]")
    for column, numbers in (("durations", lengths), (name, other)):
        bad = ~np.isfinite(numbers)
        if bad.any():
            raise DataError("a value is not finite", column=column, row=int(bad.argmax()) + 1, hint="leave it out")
    return lengths, other
