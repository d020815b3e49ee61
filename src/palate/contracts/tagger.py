"""The contract of tagging: which labels does this content deserve?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.contracts.model import Model
from palate.core.batch import IntArray
from palate.core.errors import UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.labels import COMPLETED, PREDICTED
from palate.features.plan import ContentPlan


class Tagger(Model):
    """A system that gives items labels from their content.

    Attributes:
        column: attribute column whose values are the labels; it is never read as content.
        single: whether an item has exactly one label, so that probabilities of an item sum to 1.
        item_features: content of all items as it was last met, missing modalities predicted where they are imputed.
    """

    task_name: ClassVar[str] = "tag"
    column: str
    single: bool = False
    item_features: ItemFeatures | None = None

    def update_items(self, features: ItemFeatures) -> None:
        """Keep the content of all items, from which they are tagged when asked; nothing is computed.

        Args:
            features: of all items of the catalogue.
        """
        self.item_features = features

    def labels(self) -> Sequence[str]:
        """Labels that it can give, in the order of the probabilities.

        Raises:
            UnsupportedError: for a model that does not tag.
        """
        raise UnsupportedError(f"{self.name} does not tag")

    def tag(self, content: ItemFeatures) -> NDArray[np.float32]:
        """Probabilities float32 [n, labels] of ``n`` items.

        Args:
            content: features of the items; they may lack some or all of them.

        Raises:
            UnsupportedError: for a model that does not tag.
        """
        raise UnsupportedError(f"{self.name} does not tag")

    def tag_rows(self, content: ItemFeatures, rows: IntArray) -> NDArray[np.float32]:
        """Probabilities float32 [m, labels] of some items, with the present weights of encoders that are being trained.

        Args:
            content: features of all items, as they were before training.
            rows: int64 [m].
        """
        return self.tag(content.take(rows))

    def thresholds(self) -> NDArray[np.float32]:
        """Probability from which each label is given, float32 [labels]; 1/2 by default."""
        return np.full(len(self.labels()), 0.5, np.float32)

    def choose(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Labels that are given, bool [n, labels]: at least one an item, since every known item has one.

        The likeliest where an item has exactly one label; else those that reach their threshold, and where none does
        the one that comes closest by ratio.

        Args:
            probabilities: float32 [n, labels].
        """
        ratio = probabilities if self.single else probabilities / np.maximum(self.thresholds(), 1e-12)
        chosen: NDArray[np.bool_] = np.zeros(ratio.shape, bool) if self.single else ratio >= 1
        if ratio.shape[1]:
            none = np.flatnonzero(~chosen.any(1))
            chosen[none, ratio[none].argmax(1)] = True
        return chosen

    def validation_rows(self, view: TrainView) -> IntArray:
        """Items whose labels validation asks for: those that the view hides from fitting and shows to validation.

        Args:
            view: all that training and selection may see.

        Returns:
            int64 [m], rows of the catalogue.
        """
        tables = view.tables
        if tables is None or tables.build_queried_items is None:
            return np.zeros(0, np.int64)
        frame = tables.build_queried_items().frame
        if self.column not in frame.columns:
            return np.zeros(0, np.int64)
        return np.flatnonzero(frame[self.column].is_not_null().to_numpy() & ~view.visible_items)

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        """All content but the labels themselves, and columns in which they were completed before.

        Args:
            plan: encoders by feature name.
            data: the dataset.
        """
        return plan.without_columns((self.column, self.column + PREDICTED, self.column + COMPLETED), data.items)
