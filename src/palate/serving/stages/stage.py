"""What a stage is given, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.core.registry import Registry
from palate.serving.edition import Edition, Voice


@dataclass(frozen=True)
class Ask:
    """A request, in rows of an edition.

    Attributes:
        k: length of the list. voice: who answers. user: row in the user table, -1 for a visitor. liked: items taken,
            oldest first. later: some of them since the run was made. hidden: items that must not be shown. allowed:
            bool [items], what may be; None for all. likeness: float32 [items], how well each item fits words or a
            picture; -inf for what does not; None where nothing was said. diversity, novelty, freshness: 0 to 1.
    """

    k: int
    voice: Voice | None = None
    user: int = -1
    liked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    later: bool = False
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    allowed: NDArray[np.bool_] | None = None
    likeness: NDArray[np.float32] | None = None
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0

    @property
    def candidates(self) -> int:
        """How many items later stages choose from."""
        return max(5 * self.k, 200) if self.diversity or self.novelty or self.freshness else self.k

    @property
    def known(self) -> bool:
        """Whether anything is known of who asks."""
        return self.user >= 0 or len(self.liked) > 0


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

    def applies(self, ask: Ask) -> bool:
        """Whether it has anything to do for this request."""
        return True

    @abstractmethod
    def run(self, edition: Edition, ask: Ask, slate: Slate | None) -> Slate:
        """The next list, from that of the stage before; None for the first."""


def unit_range(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``values`` brought to [0, 1] by their own least and greatest; all 0 where they are one."""
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


stages: Registry[type[Stage]] = Registry("stage", ("palate.serving.stages",), "palate.stages")
