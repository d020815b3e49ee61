"""Limits on groups in the first places of lists: at most, at least, and where advertisements may stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.ranking.greedy import Bools, Floats, IntArray

UNLIMITED = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class GroupLimits:
    """Limits of groups.

    Attributes:
        codes: int64 [lists, n, width], groups of candidates; ``len(at_most)`` fills up.
        at_most: int64 [groups], items of a group in the first places.
        at_least: int64 [groups].
    """

    codes: IntArray
    at_most: IntArray
    at_least: IntArray

    @classmethod
    def joined(cls, parts: Sequence[GroupLimits]) -> GroupLimits:
        """Limits of several columns, of the same candidates, as one.

        Args:
            parts: one or more.
        """
        sizes = [len(part.at_most) for part in parts]
        starts = np.concatenate([[0], np.cumsum(sizes)])
        codes = [
            np.where(part.codes < size, part.codes + start, starts[-1])
            for part, size, start in zip(parts, sizes, starts)
        ]
        at_most, at_least = ([getattr(part, name) for part in parts] for name in ("at_most", "at_least"))
        return cls(np.concatenate(codes, 2), np.concatenate(at_most), np.concatenate(at_least))


class LimitedGroups:
    """Constraint: in the first places of each list, items of a group are at most, and at least, so many.

    No list ever breaks "at most": it ends early where no candidate is left that keeps it. "At least" is kept by leaving
    room: once the missing items need all places that remain, only they are candidates. An item of several groups
    counts for each. What the candidates do not hold, or "at most" forbids by then, is not waited for.

    Args:
        limits: of all groups.
        first: number of places that are limited.
    """

    def __init__(self, limits: GroupLimits, first: int) -> None:
        codes = limits.codes
        lists, n, _ = codes.shape
        groups = len(limits.at_most)
        self.codes, self.first, self.at_most = codes, first, limits.at_most
        self.counts = np.zeros((lists, groups + 1), np.int64)
        self.every = np.arange(lists)
        self.needed = np.flatnonzero(limits.at_least)
        self.at_least = limits.at_least[self.needed]
        self.members = np.zeros((lists, n, len(self.needed)), bool)
        for place, group in enumerate(self.needed):
            self.members[:, :, place] = (codes == group).any(2)

    def allowed(self, candidates: Bools, place: int) -> Bools:
        if place >= self.first:
            return candidates
        full = self.counts[:, :-1] >= self.at_most
        full = np.pad(full, ((0, 0), (0, 1)))
        open_ = candidates & ~full[self.every[:, None, None], self.codes].any(2)
        if not len(self.needed):
            return open_
        here = np.minimum((open_[:, :, None] & self.members).sum(1), self.at_most[self.needed] - self._held())
        missing = np.minimum(np.maximum(self.at_least - self._held(), 0), np.maximum(here, 0))
        forced = missing.sum(1) >= self.first - place
        wanted = (self.members & (missing > 0)[:, None]).any(2)
        needed: Bools = open_ & (wanted | ~forced[:, None])
        return needed

    def add(self, chosen: IntArray, some: Bools, place: int) -> None:
        codes = self.codes[self.every, chosen]
        np.add.at(self.counts, (self.every[:, None], codes), some[:, None].astype(np.int64))

    def _held(self) -> IntArray:
        held: IntArray = self.counts[:, self.needed]
        return held


class AdLoad:
    """Constraint: how many advertisements the first places hold, and where.

    Args:
        is_ad: bool [lists, n].
        most: advertisements in the first places.
        first: number of places that are limited.
        start: place, from 0, before which none stands.
        gap: other items between two advertisements at least, at any place.
    """

    def __init__(self, is_ad: Bools, most: int, first: int, start: int = 0, gap: int = 0) -> None:
        self.is_ad, self.most, self.first, self.start, self.gap = is_ad, most, first, start, gap
        self.count = np.zeros(len(is_ad), np.int64)
        self.last = np.full(len(is_ad), -gap - 1)
        self.every = np.arange(len(is_ad))

    def allowed(self, candidates: Bools, place: int) -> Bools:
        room = (place >= self.start) & (place - self.last > self.gap)
        if place < self.first:
            room = room & (self.count < self.most)
        return candidates & (~self.is_ad | room[:, None])

    def add(self, chosen: IntArray, some: Bools, place: int) -> None:
        shown = self.is_ad[self.every, chosen] & some
        self.count += shown
        self.last[shown] = place


class ByRelevance:
    """Objective: candidates in the order of their relevance.

    Args:
        relevance: float [lists, n].
    """

    def __init__(self, relevance: Floats) -> None:
        self.relevance = relevance

    def gains(self, left: Bools) -> Floats:
        return self.relevance

    def add(self, chosen: IntArray) -> None:
        pass
