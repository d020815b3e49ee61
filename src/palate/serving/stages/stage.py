"""What a stage is given, and what it gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.core.registry import Registry


@dataclass(frozen=True)
class Ask:
    """A request, in rows of the catalogue.

    Attributes:
        k: length of the list. user: row in the user table, -1 for a visitor. liked: items taken, oldest first.
        hidden: items that must not be shown. allowed: bool [items], what may be; None for all.
        diversity: 0 to 1.
    """

    k: int
    user: int = -1
    liked: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    hidden: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    allowed: NDArray[np.bool_] | None = None
    diversity: float = 0.0


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

    @abstractmethod
    def run(self, ask: Ask, slate: Slate | None) -> Slate:
        """The next list, from that of the stage before; None for the first."""


stages: Registry[type[Stage]] = Registry("stage", ("palate.serving.stages",))
