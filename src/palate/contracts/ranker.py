"""The contract of ranking: how likely is this user to take each of these items, here and now?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from torch import Tensor

from palate.contracts.model import Model
from palate.contracts.spec import Requirements
from palate.core.batch import ImpressionBatch
from palate.core.errors import UnsupportedError


class Ranker(Model):
    """A system that scores the items of an impression, or any list of candidates."""

    task_name: ClassVar[str] = "rank"
    requirements: ClassVar[Requirements] = Requirements(labels=True)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Scores before the sigmoid, float32 [n events] each.

        Args:
            batch: events with fields, histories and groups.

        Returns:
            ``label`` for the label of the events; a multi-task model has more entries.

        Raises:
            UnsupportedError: for a model that does not rank.
        """
        raise UnsupportedError(f"{self.name} does not rank")

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Mean binary cross-entropy of the labels (the maximum-likelihood loss of click models)."""
        loss = F.binary_cross_entropy_with_logits(self.logits(batch)["label"], batch.labels)
        return {"loss": loss}
