"""DVBPR (Kang et al., ICDM 2017): taste in pictures, with the network that reads them trained for it.

score = t_u . Phi(X_i), Phi trained end to end with BPR; items have no embedding of their own, so that an item nobody
took scores as any other. The paper's bias of users orders nothing and is left out. Presets: ``c`` adds the category,
score + s_u . C c_i with c_i one-hot; ``sca`` weighs channels and places of the maps (CBAM); ``cscnn`` does so with
priors of the category (Liu et al., KDD 2020), which is CSCNN's BPR model. Our choices: a small network stands for
CNN-F; where the data have vectors of pictures alone, Phi is a network over these. Other content joins by a linear map
of each modality, so that an item without a picture is known; ``others=false`` reads pictures alone, as the paper does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import PairBatch
from palate.core.config import ContentConfig, TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.core.tuning import FUSIONS
from palate.losses.ranking import bpr
from palate.losses.regularise import l2_rows
from palate.models.match.shared.item_categories import ItemCategories, chosen_categories
from palate.models.match.shared.vectors import VectorMatcher
from palate.modules.content_slots import ContentSlots
from palate.modules.modality_dropout import draw_modality_mask
from palate.modules.picture_attention import PRIORS, AttentionKind
from palate.modules.picture_reader import CHUNK, PictureReader, ReaderSpec, chosen_picture

if TYPE_CHECKING:
    from palate.data.views import TrainView


@models.register("dvbpr")
class DVBPR(VectorMatcher):
    """Pictures read by a network that is trained with the ranking."""

    name = "dvbpr"
    paper = "Kang et al., Visually-Aware Fashion Recommendation and Design with Generative Image Models, ICDM 2017"
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=FUSIONS[:1])
    requirements = Requirements(content=True, dense=True, fields=True)
    user_parameters = ("users",)
    training_only = ("users",)
    presets = {"c": {"one_hot": True}, "sca": {"attention": "cbam"}, "cscnn": {"attention": "category"}}

    class Config(TrainedConfig, ContentConfig):
        """Settings."""

        pictures: str | None = Field(
            None, description="feature of pictures, maps or vectors; None reads maps where there are any"
        )
        widths: tuple[int, ...] = Field((16, 32, 64), description="channels of the convolutions over maps")
        hidden: tuple[int, ...] = Field((), description="widths of the layers before the vector")
        attention: AttentionKind = Field("none", description="attention after each block of convolutions")
        others: bool = Field(True, description="a linear map of each other modality is added to the picture's vector")
        one_hot: bool = Field(False, description="the category itself is a second part of an item")
        category: str | None = Field(
            None, description="attribute that is the category; None takes that of fewest values"
        )
        reg: float = Field(
            1e-3, ge=0, description="weight of the L2 penalty", json_schema_extra={"search": "1e-6..1e-1:log"}
        )

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        vectors = list(shape.features)
        picture = chosen_picture(c.pictures, list(shape.maps), vectors) or next(iter(vectors), None)
        if picture is None:
            raise ConfigError("no feature of pictures", key="pictures", hint="encode pictures, image=pixels")
        self.picture = picture
        reads = c.one_hot or c.attention in PRIORS
        self.categories = ItemCategories(
            chosen_categories([c.category] if c.category else [], shape.fields) if reads else {}
        )
        count = sum(self.categories.sizes.values())
        size = shape.maps.get(self.picture) or (shape.features[self.picture],)
        self.reader = PictureReader(ReaderSpec(size, c.dim, c.hidden, c.widths, c.attention, count))
        others = {name: width for name, width in shape.features.items() if c.others and name != self.picture}
        self.content = ContentSlots(others, c.dim)
        self._kept: dict[str, Tensor] = {}
        self.parts = 1 + (c.one_hot and count > 0)
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(shape.n_users, self.parts * c.dim)))
        self.levels = nn.ParameterList([torch.randn(count, c.dim) * 0.1] * (self.parts - 1))

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        features = ItemFeatures.of(train.visible, train.n_items)
        self.reader.fit(features[self.picture])
        self._load(features)

    def update_items(self, features: ItemFeatures) -> None:
        self._load(features)
        if self.final_items is not None:
            self.final_items = self._all_items().cpu().clone()

    def items_of(self, rows: Tensor) -> Tensor:
        """Vectors of items, float32 [n, parts dim], with gradients.

        Args:
            rows: int64 [n].
        """
        categories = self._one_hot()
        seen, others = self.reader(rows, categories), self.content(rows)
        if self._kept:
            seen = seen * self._kept[self.picture][rows][:, None]
            kept = [self._kept[name][rows] for name in self.content.names]
            others = others * torch.stack(kept, 1)[..., None] if kept else others
        return torch.cat([seen + others.sum(1), *(categories[rows] @ table for table in self.levels)], 1)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        drops = mode and self.config.modality_dropout > 0 and self.input_spec is not None
        self._kept = draw_modality_mask(self._present(), self.config.modality_dropout) if drops else {}
        return self

    def vectors(self) -> tuple[Tensor, Tensor]:
        return self.users, self._all_items()

    def loss(self, batch: PairBatch) -> dict[str, Tensor]:
        user = F.embedding(batch.users, self.users)
        positive, negative = self.items_of(torch.cat([batch.items, batch.negatives[:, 0]])).chunk(2)
        rank = bpr((user * positive).sum(-1), (user * negative).sum(-1))
        penalty = self.config.reg * l2_rows(user, positive, negative)
        return {"loss": rank + penalty, "bpr": rank, "penalty": penalty}

    def _all_items(self) -> Tensor:
        categories = self._one_hot()
        with torch.no_grad():
            rows = torch.arange(len(self.reader.present), device=self.device)
            others = [self.content(part).sum(1) for part in rows.split(CHUNK)]
            seen = self.reader.table(categories)[:-1] + torch.cat(others)
            return torch.cat([seen, *(categories @ table for table in self.levels)], 1)

    def _present(self) -> dict[str, Tensor]:
        """Feature -> which items have it, bool [n_items]."""
        rows = torch.arange(len(self.reader.present), device=self.device)
        others = zip(self.content.names, self.content.there(rows).unbind(1))
        return {self.picture: self.reader.present, **dict(others)}

    def _load(self, features: ItemFeatures) -> None:
        self.reader.use(features, self.picture, self.device)
        self.categories.load(features, self.device)
        self._none = torch.zeros(features.n_items, 0, device=self.device)
        self.content.use(features, self.device)
        self.register_buffer("known", torch.stack([*self._present().values()]).any(0))

    def _one_hot(self) -> Tensor:
        """Categories of all items, float32 [n_items, categories]; no columns where none are read."""
        name = next(iter(self.categories.sizes), None)
        return self._none if name is None else self.categories.of(name)
