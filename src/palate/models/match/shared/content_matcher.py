"""Matchers whose item vectors depend on content."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor

from palate.contracts import Phase
from palate.core.batch import PairBatch
from palate.core.config import AdaptedConfig
from palate.core.errors import UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.features.item_content import ItemContent
from palate.features.trainable import TrainableContent
from palate.models.match.shared.cold import ColdItems
from palate.models.match.shared.vectors import VectorMatcher

if TYPE_CHECKING:
    from palate.data.views import TrainView

Loss = Callable[[PairBatch], Mapping[str, Tensor]]


class NeighbourConfig(AdaptedConfig):
    """Settings that place new items among their content neighbours."""

    k: int = Field(10, ge=1, description="content neighbours of an item, the item included")
    weights: dict[str, float] = Field(default_factory=dict, description="modality -> share of the item graph")


class TrainableFeaturesConfig(AdaptedConfig):
    """Settings of models whose public code trains the raw vectors."""

    train_content: bool = Field(
        False,
        description="the loss reads a trained copy of the vectors, which no score reads; excludes tuning and fusion",
    )

    @model_validator(mode="after")
    def _copy_or_networks(self) -> Self:
        if self.train_content and self.trains_content:
            raise ValueError("train_content trains a copy of the vectors, tuning and fusion what makes them: take one")
        return self


class ContentMatcher(VectorMatcher):
    """A :class:`VectorMatcher` whose items have content. Subclasses make ``content`` and ``cold`` in :meth:`build`.

    Attributes:
        graph_of_initial_content: whether a graph among items, or what else is kept of content, stays that of the
            content before training, with modalities in the proportions that dropout leaves; otherwise :meth:`derive`
            keeps it up to date.
        graph_of_trained_content: whether :meth:`derive` also runs before each epoch and validation where content is
            trained: for neighbours, which are chosen again and carry no gradients.
        content: vectors of all items, by feature.
        cold: how items that training gave no vector get one.
    """

    graph_of_initial_content: ClassVar[bool] = False
    graph_of_trained_content: ClassVar[bool] = False

    config: AdaptedConfig
    content: ItemContent
    cold: ColdItems

    def read_content(self, train: TrainView, trainable_copy: bool = False) -> None:
        """Fit and load the content of the items that training may see; called in :meth:`setup`.

        Args:
            train: all that training may see.
            trainable_copy: train a copy of the vectors, see :meth:`palate.features.item_content.ItemContent.fit`.
        """
        features = {name: train.features[name] for name in self.content.names}
        self.content.fit(ItemFeatures.of(features, train.n_items), trainable_copy)
        self.cold.begin(self, train)

    def attach_encoders(self, source: TrainableContent) -> None:
        self.content.attach_encoders(source, self.config.encode_rows)

    def phases(self) -> list[Phase]:
        network = self.content.network
        if network is None:
            return super().phases()
        slow = network.pretrained()
        return [
            replace(
                phase,
                loss=partial(_loss_with_gradients, self.content, phase.loss),
                groups=phase.slowed(slow, self.config.pretrained_lr),
            )
            for phase in super().phases()
        ]

    def derive(self) -> None:
        """Compute what is kept of content between steps, such as graphs or smoothed vectors.

        Called by :meth:`setup` of the model, and again before each epoch and validation when ``modality_dropout`` takes
        other content away; when content is trained only with ``graph_of_trained_content``. What a loss reads of vectors
        that are being trained must not be kept: read it through
        :meth:`palate.features.item_content.ItemContent.all_rows`.
        """

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        follows = self.config.modality_dropout or (self.graph_of_trained_content and self.content.network is not None)
        if self.input_spec is not None and self.final_users is None and follows:
            self.derive()
        return self

    def describe(self, rows: Tensor) -> Tensor:
        """Vectors from content alone, for models with :class:`palate.models.match.shared.cold.FromContent`.

        Args:
            rows: int64 [b], items.

        Returns:
            float32 [b, d], zero where an item has no content.

        Raises:
            UnsupportedError: for a subclass that does not override it.
        """
        raise UnsupportedError(f"{self.name} cannot describe items by content: override describe()")

    def complete(self, items: Tensor) -> Tensor:
        """Vectors of all items, also of those that training gave none.

        Args:
            items: float32 [fitted items, d], vectors that training gave.

        Returns:
            float32 [n_items, d].
        """
        return self.cold.complete(self, items)

    def update_items(self, features: ItemFeatures) -> None:
        self.cold = self.cold.load(self, features)
        if self.final_items is not None:
            with torch.no_grad():
                self.final_items = self.complete(self.cold.trained_part(self, self.final_items)).cpu()

    def on_fit_end(self) -> None:
        self.cold = self.cold.settled()
        super().on_fit_end()
        self.content.freeze()


def _loss_with_gradients(content: ItemContent, loss: Loss, batch: PairBatch) -> Mapping[str, Tensor]:
    """``loss`` of a batch whose items' content is encoded with gradients."""
    content.encode_batch(torch.cat([batch.items, batch.negatives.flatten()]))
    return loss(batch)
