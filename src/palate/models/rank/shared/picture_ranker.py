"""What click models share that read pictures: an embedding that is trained with the clicks, and categories."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, did_you_mean
from palate.core.item_features import ItemFeatures
from palate.data.views import TrainView
from palate.models.rank.shared.field_ranker import FieldRanker, FieldRankerConfig
from palate.modules.picture_attention import PRIORS, AttentionKind
from palate.modules.picture_reader import PictureReader, ReaderSpec, chosen_picture


class PictureRankerConfig(FieldRankerConfig):
    """Settings of click models that read pictures."""

    pictures: str | None = Field(
        None,
        description="feature of pictures, pooled vectors or maps [C, H, W] such as pixels; None reads the maps of "
        "pictures where there are any, else their vectors; none reads no picture",
    )
    picture_dim: int = Field(12, ge=1, description="width of the embedding of a picture")
    picture_hidden: tuple[int, ...] = Field((64,), description="widths of the layers before the embedding")
    widths: tuple[int, ...] = Field((8, 16, 32), description="channels of the convolutions over maps")
    reduce: int = Field(0, ge=0, description="channels that a 1 x 1 convolution brings maps to first; 0 leaves them")
    category: str | None = Field(None, description="attribute of items that is their category; None takes the first")


class PictureRanker(FieldRanker):
    """A click model with a trained embedding of pictures. Without pictures in the data it reads the rest.

    Attributes:
        reader: the embedding; None without pictures.
    """

    Config: ClassVar[type[PictureRankerConfig]] = PictureRankerConfig
    config: PictureRankerConfig
    reader: PictureReader | None
    picture: str | None

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        if self.config.pictures != "none":
            # also without slots of frozen content
            self.capabilities = Capabilities(new_items=True, new_users=True, content=True)  # type: ignore[misc]

    @property
    def attention(self) -> AttentionKind:
        """Attention after each block of convolutions."""
        return "none"

    @property
    def reads_category(self) -> bool:
        """Whether the category of items is read on its own."""
        return self.attention in PRIORS

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.reader is not None and self.picture is not None:
            self.reader.fit(train.features[self.picture])

    def build(self, shape: InputSpec) -> None:
        self.picture = chosen_picture(self.config.pictures, list(shape.maps), list(shape.features))
        self.category = self._category() if self.picture is not None and self.reads_category else None
        self._one_hot: tuple[Tensor, Tensor] | None = None
        if self.picture is None:
            self.reader = None
        else:
            c, size = self.config, shape.maps.get(self.picture) or (shape.features[self.picture],)
            count = 0 if self.category is None else self.tables.schema[self.category].size - 1
            self.reader = PictureReader(
                ReaderSpec(size, c.picture_dim, c.picture_hidden, c.widths, self.attention, count, c.reduce)
            )
        # the vector that is trained stands for the picture: it is not a slot of frozen content as well
        others = {name: width for name, width in shape.features.items() if name != self.picture}
        super().build(replace(shape, features=others))
        self.input_spec = shape

    def update_items(self, features: ItemFeatures) -> None:
        super().update_items(features)
        if self.reader is not None and self.picture is not None:
            self.reader.use(features, self.picture, self.device)

    @property
    def picture_width(self) -> int:
        """Width of :meth:`pictures_of`; 0 without pictures."""
        return 0 if self.reader is None else self.config.picture_dim

    def pictures_of(self, rows: Tensor) -> Tensor:
        """Embeddings of pictures, float32 [..., picture_dim]; zero where there is none.

        Args:
            rows: int64 [...], items; -1 is padding.
        """
        if self.reader is None:
            return torch.zeros(*rows.shape, 0, device=rows.device)
        vectors: Tensor = self.reader(rows, self.categories())
        return vectors

    def pictures_of_batch(self, items: Tensor, history: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings of candidates [n, dim] and of histories [groups, length, dim], each picture read once.

        Args:
            items: int64 [n].
            history: int64 [groups, length], -1 is padding.
        """
        vectors = self.pictures_of(torch.cat([items, history.flatten()]))
        return vectors[: len(items)], vectors[len(items) :].view(*history.shape, vectors.shape[1])

    def has_picture(self, rows: Tensor) -> Tensor:
        """Whether items have a picture, bool [...].

        Args:
            rows: int64 [...].
        """
        return torch.zeros_like(rows, dtype=torch.bool) if self.reader is None else self.reader.there(rows)

    def categories(self) -> Tensor:
        """One-hot categories of all items, float32 [n_items, categories]; zero where unknown, no columns if not read.

        Kept until the table of items changes.
        """
        if self.category is None:
            if self._one_hot is None:
                nothing = torch.zeros(0, device=self.device)
                self._one_hot = nothing, torch.zeros(1, 0, device=self.device).expand(self._n_items(), 0)
            return self._one_hot[1]
        table = self.tables.table(self.category)
        if self._one_hot is None or self._one_hot[0] is not table:
            self._one_hot = table, F.one_hot(table, self.tables.schema[self.category].size)[:, 1:].float()
        return self._one_hot[1]

    def _n_items(self) -> int:
        return 0 if self.reader is None else len(self.reader.present)

    @property
    def category_fields(self) -> dict[str, str]:
        """Attributes of items that may be their category: column -> field."""
        own = [one for one in self.tables.schema if one.owner == "item" and one.column]
        return {one.column: one.name for one in own if one.kind == "categorical"}

    def _category(self) -> str:
        able, wanted = self.category_fields, self.config.category
        if wanted is None and able:
            return next(iter(able.values()))
        if wanted not in able:
            hint = did_you_mean(str(wanted), able) if able else "choose an attention without a category"
            raise ConfigError("items have no such categorical attribute", key=f"category={wanted}", hint=hint)
        return able[wanted]
