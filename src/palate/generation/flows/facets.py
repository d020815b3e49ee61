"""Facets of a result list: the columns whose values divide it, and what asking for one is worth."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.generation.flows.item_values import attributes

NAMED = 3
"""Values that a question offers at most."""
NONE = "none of these"
"""Answer of someone who wants none of the values that were offered."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Facet:
    """A question's subject.

    Attributes:
        column: of the catalogue.
        values: what is offered, the most probable first; an item that has several counts for the first of them.
        usefulness: expected information of the answer about the item that is looked for, in bits.
    """

    column: str
    values: tuple[str, ...]
    usefulness: float


class FacetTable:
    """Values by column of a list of items, prepared once for many questions.

    Args:
        items: id and columns of each.
        columns: columns that may be asked for; those whose values can be named by default.
    """

    def __init__(self, items: Sequence[Mapping[str, Any]], columns: Collection[str] | None = None) -> None:
        self.n_items = len(items)
        rows: dict[str, dict[str, list[int]]] = {}
        spelled: dict[tuple[str, str], str] = {}
        for row, item in enumerate(items):
            for column, values in attributes(item).items():
                if columns is None or column in columns:
                    for value in values:
                        key = value.casefold()
                        spelled.setdefault((column, key), value)
                        rows.setdefault(column, {}).setdefault(key, []).append(row)
        self.rows: dict[str, dict[str, NDArray[np.int64]]] = {
            column: {spelled[column, key]: np.unique(found) for key, found in values.items()}
            for column, values in rows.items()
        }
        self._flat = {column: np.concatenate(list(found.values())) for column, found in self.rows.items()}
        self._starts = {column: np.cumsum([0, *map(len, found.values())])[:-1] for column, found in self.rows.items()}

    def best(self, weights: Floats, asked: Collection[tuple[str, str]] = (), n: int = 3) -> list[Facet]:
        """The most useful facets of different columns.

        Args:
            weights: float64 [items], at least 0: how probable each item is the one that is looked for.
            asked: (column, value) pairs that were offered before.
            n: facets at most.
        """
        found = [facet for column in self.rows if (facet := self.facet(column, weights, asked)) is not None]
        return sorted(found, key=lambda facet: (-facet.usefulness, facet.column))[:n]

    def facet(self, column: str, weights: Floats, asked: Collection[tuple[str, str]] = ()) -> Facet | None:
        """The question about a column: the values that together leave the least uncertain.

        Values are added one by one as long as the answer tells more.

        Args:
            column: its name.
            weights: float64 [items], at least 0.
            asked: (column, value) pairs that were offered before.

        Returns:
            The facet; None where all answers are known beforehand.
        """
        total = float(weights.sum())
        left = {value: rows for value, rows in self.rows[column].items() if (column, value) not in asked}
        if total <= 0 or not left:
            return None
        sums = np.add.reduceat(weights[self._flat[column]], self._starts[column]).tolist()
        mass = dict(zip(self.rows[column], sums))
        # a value's own share bounds what it can add: those below the most probable dozen are not tried
        order = sorted(left, key=lambda value: (-mass[value], value))[:12]
        free, shares, chosen, best = np.ones(self.n_items, bool), np.zeros(0), list[str](), 0.0
        while len(chosen) < NAMED:
            tried = [(entropy(np.append(shares, s), total), value, s) for value in order if value not in chosen
                     for s in [float(weights[left[value]][free[left[value]]].sum())]]  # fmt: skip
            if not tried:
                break
            gain, value, share = max(tried, key=lambda one: (one[0], -order.index(one[1])))
            if gain <= best + 1e-12:
                break
            best, shares = gain, np.append(shares, share)
            chosen.append(value)
            free[left[value]] = False
        return Facet(column, tuple(chosen), best) if chosen else None

    def holds(self, column: str, value: str) -> NDArray[np.bool_]:
        """Which items have a value.

        Args:
            column: its name.
            value: as spelled in the table.
        """
        out = np.zeros(self.n_items, bool)
        out[self.rows[column][value]] = True
        return out

    def matching(self, facet: Facet, answer: str) -> NDArray[np.bool_]:
        """Items for which someone who looks for them would give this answer.

        Args:
            facet: what was asked.
            answer: one of its values, or :data:`NONE`.
        """
        out = np.ones(self.n_items, bool)
        for value in facet.values:
            has = self.holds(facet.column, value)
            if value == answer:
                return out & has
            out &= ~has
        return out


def entropy(shares: ArrayLike, total: float) -> float:
    """Bits of an answer: of the shares and of what remains.

    Args:
        shares: mass of each answer.
        total: mass of all, at least the sum of the shares.
    """
    p = np.asarray(shares, np.float64) / total
    p = np.append(p, max(0.0, 1.0 - float(p.sum())))
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum()) + 0.0
