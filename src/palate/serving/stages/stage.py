"""Stages: their inputs, their output and their registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.registry import Registry
from palate.serving.snapshot import ResolvedModel

MIN_CANDIDATES, CANDIDATES_PER_ITEM = 200, 3
"""Candidates from which sliders choose: so many at least, and so many for each item of the list."""


def _no_rows() -> IntArray:
    return np.zeros(0, np.int64)


class Relevance(NamedTuple):
    """How well each item fits a search query.

    Attributes:
        scores: float32 [items], the higher the better; -inf for items that do not fit.
        note: why nothing fits; empty if something does.
    """

    scores: NDArray[np.float32]
    note: str = ""


class ListKey(NamedTuple):
    """Whose list it is.

    Attributes:
        user: user id.
        model: name of the model.
        run: fingerprint of the run, whose rows the list holds.
    """

    user: str
    model: str
    run: str


@dataclass(frozen=True)
class StageRequest:
    """A request, in rows of a snapshot.

    Attributes:
        k: length of the list.
        user: row in the user table, -1 for an anonymous user.
        history: int64 [n], rows of items taken, oldest first.
        has_new_events: whether some of them were taken after the run was made.
        hidden: int64 [m], rows of items that must not be shown.
        allowed: bool [items], items that may be shown; None for all.
        relevance: computes how well each item fits the search query; None without a query.
        diversity: strength of the diversity slider, 0 to 1.
        novelty: strength of the novelty slider, 0 to 1.
        freshness: strength of the freshness slider, 0 to 1.
        list_key: whose list it is, where it is that of a user.
        is_narrowed: whether the request leaves out items of its own.
    """

    k: int
    user: int = -1
    history: IntArray = field(default_factory=_no_rows)
    has_new_events: bool = False
    hidden: IntArray = field(default_factory=_no_rows)
    allowed: NDArray[np.bool_] | None = None
    relevance: Callable[[], Relevance] | None = None
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0
    list_key: ListKey | None = None
    is_narrowed: bool = False

    @property
    def is_search(self) -> bool:
        """Whether items are searched for."""
        return self.relevance is not None

    @property
    def n_candidates(self) -> int:
        """Number of items from which later stages choose."""
        has_sliders = self.diversity or self.novelty or self.freshness
        return max(CANDIDATES_PER_ITEM * self.k, MIN_CANDIDATES) if has_sliders else self.k

    @property
    def is_known(self) -> bool:
        """Whether anything is known of the user's taste; a row without positives says nothing."""
        return len(self.history) > 0


@dataclass(frozen=True)
class Slate:
    """Items in the order in which they are to be shown.

    Attributes:
        rows: int64 [n].
        scores: float32 [n].
        notes: parts of the request that the stage could not answer and left out.
    """

    rows: IntArray
    scores: NDArray[np.float32]
    notes: tuple[str, ...] = ()

    @property
    def relevance(self) -> NDArray[np.float32]:
        """float32 [n]: the scores or, where the list is not in their order, 1 to 0 by rank.

        A model that only lists may give scores that do not order its list.
        """
        if (self.scores[1:] <= self.scores[:-1]).all():
            return self.scores
        return np.linspace(1, 0, len(self.scores), dtype=np.float32)

    def take(self, places: IntArray) -> Slate:
        """Some of the items, in the order of ``places`` (int64 [m])."""
        return Slate(self.rows[places], self.scores[places], self.notes)


class Stage(ABC):
    """One step towards a list.

    Attributes:
        name: name in the registry.
        budget: seconds of work after which the list of the stage before is shown instead.
        budget_per_item: further seconds for each item of the list.
    """

    name: ClassVar[str]
    budget: float = 0.05
    budget_per_item: float = 0.0

    def budget_for(self, request: StageRequest) -> float:
        """Seconds of work for a request.

        Args:
            request: the request.
        """
        return self.budget + self.budget_per_item * request.k

    def applies(self, resolved: ResolvedModel, request: StageRequest) -> bool:
        """Whether the stage has anything to do for a request.

        Args:
            resolved: model that answers, and its snapshot.
            request: the request.
        """
        return True

    @abstractmethod
    def run(self, resolved: ResolvedModel, request: StageRequest, slate: Slate | None) -> Slate:
        """The next list.

        Args:
            resolved: model that answers, and its snapshot.
            request: the request.
            slate: list of the stage before; None for the first stage.
        """


def unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale to [0, 1] by the least and the greatest value; all 0 where they are equal."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


stages: Registry[type[Stage]] = Registry("stage", ("palate.serving.stages",), "palate.stages")
