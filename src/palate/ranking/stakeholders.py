"""Lists for several stakeholders (the win-win problem): max sum_s w_s U_s over users, providers and advertisers.

With d(r) = 1 / log2(r + 2) for place r from 0, relevance s_i in [0, 1], bid b_i in [0, 1] and e_p the exposure that
provider p had before,

    U_users       = sum_r d(r) s_i
    U_advertisers = sum_r d(r) s_i b_i                                    expected value: relevance times bid
    U_providers   = sum_p [log(1 + e_p + sum_{r: i of p} d(r)) - log(1 + e_p)]

The logarithm makes the first exposure of a provider worth more than a further one. Each place gets the item that adds
most to the sum: e_p grows along the list. An item of several providers exposes each of them in equal parts. Limits and
the load of advertisements are constraints (palate.ranking.limits).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.ranking.greedy import Bools, Constraint, Floats, IntArray, greedy_lists


class Weights(NamedTuple):
    """Weights of the stakeholders.

    Attributes:
        users: of relevance.
        providers: of exposure.
        advertisers: of the expected value of bids.
    """

    users: float = 1.0
    providers: float = 0.0
    advertisers: float = 0.0


@dataclass(frozen=True, eq=False)
class Stakes:
    """What candidates are worth to whom.

    Attributes:
        relevance: float [lists, n], from 0 to 1.
        bids: float [lists, n], from 0 to 1; 0 for what is no advertisement.
        providers: int64 [lists, n, width], providers of candidates; ``len(exposure)`` fills up.
        exposure: float [providers], e_p.
    """

    relevance: Floats
    bids: Floats
    providers: IntArray
    exposure: Floats


def stakeholder_lists(
    stakes: Stakes, weights: Weights, k: int, known: Bools, constraints: Sequence[Constraint] = ()
) -> IntArray:
    """Lists of the largest weighted utility, chosen greedily, all at once; O(lists k n width) time.

    Args:
        stakes: of the candidates.
        weights: of the stakeholders.
        k: length of the lists.
        known: bool [lists, n], False at places that hold no candidate.
        constraints: what lists may hold.

    Returns:
        int64 [lists, min(k, n)], positions of candidates; -1 where a list ends.
    """
    return greedy_lists(_Utility(stakes, weights), known, k, constraints)


def utilities(stakes: Stakes, order: IntArray) -> NDArray[np.float64]:
    """Utilities of lists: float64 [lists, 3], users, providers, advertisers.

    Args:
        stakes: of the candidates.
        order: int64 [lists, k], positions of candidates; -1 where a list ends.
    """
    total = np.zeros((len(order), 3))
    utility, every = _Utility(stakes, Weights()), np.arange(len(order))
    for place in range(order.shape[1]):
        some, chosen = order[:, place] >= 0, np.maximum(order[:, place], 0)
        parts = np.stack([part[every, chosen] for part in utility.parts()], 1)
        total += np.where(some[:, None], parts, 0)
        utility.add(np.where(some, chosen, -1))
    return total


class _Utility:
    def __init__(self, stakes: Stakes, weights: Weights) -> None:
        self.stakes, self.weights, self.place = stakes, weights, 0
        fills = stakes.providers == len(stakes.exposure)
        self.share = ~fills / np.maximum((~fills).sum(2, keepdims=True), 1)
        self.exposure = np.tile(np.append(stakes.exposure, 0.0), (len(stakes.relevance), 1))
        self.every = np.arange(len(stakes.relevance))

    def parts(self) -> tuple[Floats, Floats, Floats]:
        """What each candidate adds at the next place for users, providers, advertisers: float [lists, n] each."""
        discount, stakes = self._discount(), self.stakes
        before = self.exposure[self.every[:, None, None], stakes.providers]
        exposed = (np.log1p(before + discount * self.share) - np.log1p(before)).sum(2)
        users = discount * stakes.relevance
        return users, exposed, users * stakes.bids

    def gains(self, left: Bools) -> Floats:
        gains: Floats = sum(w * part for w, part in zip(self.weights, self.parts()))  # type: ignore[assignment]
        return gains

    def add(self, chosen: IntArray) -> None:
        """Count the exposure of what was chosen.

        Args:
            chosen: int64 [lists]; -1 for a list that has ended.
        """
        providers = self.stakes.providers[self.every, chosen]
        shown = self.share[self.every, chosen] * (chosen >= 0)[:, None] * self._discount()
        np.add.at(self.exposure, (self.every[:, None], providers), shown)
        self.place += 1

    def _discount(self) -> float:
        return float(1 / np.log2(self.place + 2))
