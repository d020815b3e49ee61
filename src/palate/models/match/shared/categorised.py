"""Visual matrix factorisation that also knows the categories of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from palate.contracts import Capabilities, InputSpec, Requirements
from palate.core.config import ContentConfig, TrainedConfig
from palate.core.item_features import ItemFeatures
from palate.core.tuning import FUSIONS
from palate.models.match.shared.item_categories import ItemCategories, chosen_categories
from palate.models.match.vbpr import VBPR

if TYPE_CHECKING:
    from palate.data.views import TrainView


class CategorisedConfig(TrainedConfig, ContentConfig):
    """Settings of visual matchers that read categories; those of VBPR without what trains encoders."""

    reg: float = Field(
        1e-3,
        ge=0,
        description="weight of the norm penalty on both halves",
        json_schema_extra={"search": "1e-6..1e-1:log"},
    )
    content_scale: float = Field(
        1.0, gt=0, description="factor on projected content, which otherwise starts far larger than the ID half"
    )
    standardise: bool = Field(True, description="standardise the columns of features")
    categories: tuple[str, ...] = Field(
        (), description="attributes that are the tree of categories, root first; empty takes that of fewest values"
    )


class CategorisedVBPR(VBPR):
    """:class:`palate.models.match.vbpr.VBPR` with categories. Subclasses override ``describe``.

    Attributes:
        categories: of all items.
    """

    Config = CategorisedConfig  # type: ignore[assignment]
    config: CategorisedConfig  # type: ignore[assignment]
    capabilities = Capabilities(new_items=True, new_users=True, content=True, fusion=FUSIONS[:1])
    requirements = Requirements(content=True, dense=True, fields=True)

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.categories = ItemCategories(chosen_categories(self.config.categories, shape.fields))

    def read_content(self, train: TrainView, trainable_copy: bool = False) -> None:
        self.categories.load(ItemFeatures.of(train.visible, train.n_items), self.device)
        super().read_content(train, trainable_copy)

    def update_items(self, features: ItemFeatures) -> None:
        self.categories.load(features, self.device)
        super().update_items(features)
