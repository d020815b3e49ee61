"""What a stage is given, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.core.registry import Registry
from palate.serving.snapshot import ModelSnapshot, ServedModel


@dataclass(frozen=True)
class StageRequest:
    """A request, in rows of a snapshot.

    Attributes:
        k: length of the list.
        model: model that answers.
        user: row in the user table, -1 for an anonymous user.
        history: int64 [n], rows of items taken, oldest first.
        has_new_events: whether some of them were taken after the run was made.
        hidden: int64 [m], rows of items that must not be shown.
        allowed: bool [items], items that may be shown; None for all.
        similarity: float32 [items], how well each item fits the search query; -inf for no fit, None without a query.
        diversity: strength of the diversity slider, 0 to 1.
        novelty: strength of the novelty slider, 0 to 1.
        freshness: strength of the freshness slider, 0 to 1.
    """

    k: int
    model: ServedModel | None = None
    user: int = -1
    history: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    has_new_events: bool = False
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    allowed: NDArray[np.bool_] | None = None
    similarity: NDArray[np.float32] | None = None
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0

    @property
    def candidates(self) -> int:
        """How many items later stages choose from."""
        return max(5 * self.k, 200) if self.diversity or self.novelty or self.freshness else self.k

    @property
    def is_known(self) -> bool:
        """Whether anything is known of who asks."""
        return self.user >= 0 or len(self.history) > 0


@dataclass(frozen=True)
class Slate:
    """Items in the order in which they are to be shown: rows int64 [n], scores float32 [n]."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]

    def take(self, places: NDArray[np.int64]) -> Slate:
        """These of them, in this order."""
        return Slate(self.rows[places], self.scores[places])


class Stage(ABC):
    """One step towards a list.

    Attributes:
        name: as registered. budget: seconds it may take before the list of the stage before is shown instead.
    """

    name: ClassVar[str]
    budget: float = 0.05

    def applies(self, request: StageRequest) -> bool:
        """Whether it has anything to do for this request."""
        return True

    @abstractmethod
    def run(self, snapshot: ModelSnapshot, request: StageRequest, slate: Slate | None) -> Slate:
        """The next list, from that of the stage before; None for the first."""


def unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values`` brought to [0, 1] by their own least and greatest; all 0 where they are one."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


stages: Registry[type[Stage]] = Registry("stage", ("palate.serving.stages",))
