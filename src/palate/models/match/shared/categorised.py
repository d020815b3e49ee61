"""Visual matrix factorisation that also knows the categories of items."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from palate.contracts import InputSpec, Requirements
from palate.core.item_features import ItemFeatures
from palate.models.match.shared.item_categories import ItemCategories, chosen_categories
from palate.models.match.vbpr import VBPR

if TYPE_CHECKING:
    from palate.data.views import TrainView


class CategorisedConfig(VBPR.Config):
    """Settings of visual matchers that read categories."""

    categories: tuple[str, ...] = Field(
        (), description="attributes that are the tree of categories, root first; empty takes that of fewest values"
    )


class CategorisedVBPR(VBPR):
    """:class:`palate.models.match.vbpr.VBPR` with categories. Subclasses override ``describe``.

    Attributes:
        categories: of all items.
    """

    Config = CategorisedConfig
    config: CategorisedConfig
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
