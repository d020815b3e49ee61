"""The weighted mean of standardised scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import IntArray, UserBatch
from palate.core.errors import ConfigError
from palate.models.match.blend.candidates import standardise
from palate.ranking.scorer import Scorer


class BlendScorer(Scorer):
    """Weighted mean of members' standardised scores; a member without a score for an item is left out of its mean.

    Args:
        scorers: the M members.
        known: int64 items of each member over which its scores are standardised.
        warm_weights: float32 [M], for items with behaviour.
        cold_weights: float32 [M], for items without.
        warm: bool [N], items with behaviour.
        names: the members' names.
        offsets: float32 [N], added to each item's mean; None adds nothing.
    """

    def __init__(
        self,
        scorers: list[Scorer],
        known: list[Tensor],
        warm_weights: Tensor,
        cold_weights: Tensor,
        warm: Tensor,
        names: Sequence[str] = (),
        offsets: Tensor | None = None,
    ) -> None:
        super().__init__(scorers[0].n_items)
        self.scorers, self.known, self.warm, self.names = scorers, known, warm, tuple(names)
        able = torch.stack([torch.from_numpy(scorer.scorable()) for scorer in scorers], dim=1)
        weights = torch.where(warm[:, None], warm_weights, cold_weights) * able
        self.mass = weights.sum(1)
        self.weights = weights / self.mass.clamp(min=1e-12)[:, None]
        self.offsets = offsets if offsets is not None and bool(offsets.any()) else None

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        """Weighted mean of the members' standardised scores, float32 [B, N].

        Args:
            users: B users.
            items: int64 [n], the items to score; None scores all.

        Raises:
            ConfigError: if no member has a weight.
        """
        total: Tensor | None = None
        for index, scorer in enumerate(self.scorers):
            column = self.weights[:, index]
            if not bool((column > 0).any()):
                continue
            part = torch.where(column > 0, standardise(scorer.score(users), self.known[index]), 0.0) * column
            total = part if total is None else total + part
        if total is None:
            raise ConfigError(
                "every member of the blend has weight 0", key="warm_weights", hint="give one a weight above 0"
            )
        total = total if self.offsets is None else total + self.offsets
        return total if items is None else total[:, torch.as_tensor(items)]

    def scorable(self) -> NDArray[np.bool_]:
        return np.asarray(self.mass > 0)

    def members(self) -> Mapping[str, Scorer]:
        return dict(zip(self.names, self.scorers))
