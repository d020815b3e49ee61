"""The contract of reranking: in which order should these candidates be shown together?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.contracts.matcher import Matcher
from palate.core.batch import UserBatch
from palate.core.errors import UnsupportedError


class Reranker(Matcher):
    """A matcher that reorders the lists of another one; it lists, and gives no scores of arbitrary items."""

    task_name: ClassVar[str] = "rerank"
    stage: ClassVar[str] = "rerank"

    def rerank(
        self, ids: NDArray[np.int64], scores: NDArray[np.float32], k: int, users: UserBatch | None = None
    ) -> NDArray[np.int64]:
        """Reorder candidates.

        Args:
            ids: int64 [lists, n], item rows, best first, -1 where a list is shorter.
            scores: float32 [lists, n], of the first stage.
            k: length of the new lists.
            users: whose lists they are, with their histories; None where nobody is known.

        Returns:
            int64 [lists, k or fewer], positions in ``ids``; -1 where candidates ran out.

        Raises:
            UnsupportedError: for a model that does not rerank.
        """
        raise UnsupportedError(f"{self.name} does not rerank")
