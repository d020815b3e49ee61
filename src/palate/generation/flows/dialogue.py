"""A search that asks back: the probability of each result, and how answers change it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, did_you_mean
from palate.generation.flows.facets import NONE, Facet, FacetTable


class ClarifyingDialogue:
    """Results with the probability that each is the one that is looked for; an answer multiplies it.

    Args:
        items: id and columns of each result.
        weights: [items], at least 0 and not all 0: from the search; falls with the rank as 1 / rank by default.
        columns: columns that may be asked for; all whose values can be named by default.
        trust: probability that an answer is right; below 1 so that a wrong one does not lose the item.

    Raises:
        ConfigError: if ``weights`` does not fit the items, or ``trust`` is not in (0.5, 1).
    """

    def __init__(
        self,
        items: Sequence[Mapping[str, Any]],
        weights: ArrayLike | None = None,
        columns: Sequence[str] | None = None,
        trust: float = 0.95,
    ) -> None:
        prior = 1.0 / np.arange(1, len(items) + 1) if weights is None else np.asarray(weights, np.float64)
        if prior.shape != (len(items),) or not (prior >= 0).all() or not prior.sum() > 0:
            raise ConfigError(f"{len(items)} results need as many weights, at least 0 and not all 0", key="weights")
        if not 0.5 < trust < 1.0:
            raise ConfigError(f"a probability above 0.5 and below 1, not {trust}", key="trust")
        self.table = FacetTable(items, columns)
        self.weights: NDArray[np.float64] = prior / prior.sum()
        self.trust = trust
        self.asked: list[tuple[str, str]] = []

    def facets(self, n: int = 3) -> list[Facet]:
        """The most useful facets that were not offered before.

        Args:
            n: at most.
        """
        return self.table.best(self.weights, set(self.asked), n)

    def answer(self, facet: Facet, answer: str) -> None:
        """Take an answer.

        Args:
            facet: what was asked.
            answer: one of its values, or ``none of these``.

        Raises:
            ConfigError: for another answer.
        """
        if answer not in (*facet.values, NONE):
            raise ConfigError("no such choice", key=answer, hint=did_you_mean(answer, (*facet.values, NONE)))
        fits = self.table.matching(facet, answer)
        self.weights = self.weights * np.where(fits, self.trust, 1.0 - self.trust)
        self.weights /= self.weights.sum()
        self.asked += [(facet.column, value) for value in facet.values]

    def ranking(self) -> NDArray[np.int64]:
        """Results, the most probable first; ties in the order of the search."""
        return np.argsort(-self.weights, kind="stable")
