"""Vectors of items made by networks that are trained with a model."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from palate.core.content import Features
from palate.features.trainable import TrainableContent, TrainableEncoders


class NetworkVectors:
    """The items of a batch encoded with gradients; all others as they were encoded when training last switched mode.

    Args:
        source: the networks, their inputs, and what they made of them before training.
        limit: items of a batch that are encoded with gradients, at most; 0 is all.

    Attributes:
        network: the networks.
        inputs: feature name -> their inputs, for all items.
        vectors: feature name -> vectors of all items.
        stale: whether the weights changed since ``vectors`` were made.
    """

    def __init__(self, source: TrainableContent, limit: int) -> None:
        self.network: TrainableEncoders = source.network
        self.inputs: Mapping[str, Features] = source.inputs
        self.vectors: Mapping[str, Features] = source.vectors
        self.stale = False
        self._shown: Mapping[str, Features] = source.inputs
        self._limit = limit
        self._batch: dict[str, Tensor] = {}
        self._place = torch.empty(0, dtype=torch.int64)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(next(iter(self.inputs.values())))

    def encode_batch(self, rows: Tensor) -> None:
        """Encode the items of a batch with gradients.

        Args:
            rows: int64 [b]; repeated rows are encoded once.
        """
        rows = rows.unique()
        if 0 < self._limit < len(rows):
            rows = rows[torch.randperm(len(rows), device=rows.device)[: self._limit]]
        self._batch = self.network(self._shown, rows)
        self._place = torch.full((self.n_items,), -1, device=rows.device)
        self._place[rows] = torch.arange(len(rows), device=rows.device)
        self.stale = True

    def drop_batch(self) -> None:
        """Read all items without gradients until the next batch."""
        self._batch = {}

    def refresh(self, inputs: Mapping[str, Features]) -> bool:
        """Encode all items again where the weights or the inputs changed.

        Args:
            inputs: feature name -> inputs of the networks, for all items.

        Returns:
            Whether there are new ``vectors``.
        """
        if not self.stale and inputs is self._shown:
            return False
        self._shown, self.vectors, self.stale = inputs, self.network.encode(inputs), False
        return True

    def with_batch(self, name: str, values: Tensor, rows: Tensor | None) -> Tensor:
        """``values`` of items, those of the batch replaced by vectors with gradients.

        Args:
            name: of the feature.
            values: float32 [b, d].
            rows: int64 [b], the items; None for all of them.
        """
        if name not in self._batch:
            return values
        at = self._place if rows is None else self._place.index_select(0, rows)
        encoded = (at >= 0).nonzero().squeeze(1)
        return values.index_copy(0, encoded, self._batch[name][at[encoded]])
