"""What a tagger's file extends: labels are read and some of them held out, thresholds chosen, catalogues tagged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import Field

from palate.contracts import Capabilities, Tagger
from palate.core.batch import IntArray
from palate.core.boundary import public
from palate.core.config import ModelConfig
from palate.core.content import Features
from palate.core.errors import DataError
from palate.core.item_features import ItemFeatures
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.features.labels import ItemLabels, catalog_labels, item_labels, label_column
from palate.features.plan import ContentPlan
from palate.models.fittable import FittableModel
from palate.models.tag.shared.thresholds import best_thresholds
from palate.training.deployment import deployment_of

if TYPE_CHECKING:
    from palate.core.context import RunContext
    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CHUNK = 4096
"""Items that are tagged at a time."""


class LabelConfig(ModelConfig):
    """Settings that say what the labels are."""

    column: str | None = Field(
        None, description="column of items whose values are the labels; None takes the only attribute that has some"
    )
    values: Literal["auto", "single", "several"] = Field(
        "auto", description="labels of an item: exactly one, or several; auto looks at the items that have some"
    )
    min_count: int = Field(2, ge=1, description="items with a label below which it is not learnt")
    held_out: float = Field(
        0.15, ge=0, lt=1, description="share of the labelled items held out for validation where the split hides none"
    )


class ThresholdConfig(LabelConfig):
    """Settings of taggers that give a label from some probability on."""

    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="label -> probability from which it is given; the others get the one with the best F1 on "
        "validation",
    )
    min_positives: int = Field(
        5, ge=1, description="validation items with a label below which its threshold is the one best for all labels"
    )


class TaggingModel(Tagger, FittableModel):
    """A tagger that is fitted to the labelled items of a catalogue. Subclasses give ``tag`` and learn in ``setup``.

    Attributes:
        names: the labels.
        shares: share of the labelled training items with each label, float32 [labels].
        given_thresholds: label -> threshold, of the config or chosen on validation.
        train_labels: labels of all rows that training may read, None outside training.
        train_rows: int64 [m], labelled rows to learn from.
        held_rows: int64 [v], labelled rows to validate on.
    """

    capabilities: ClassVar[Capabilities] = Capabilities(new_items=True, content=True)
    config: LabelConfig

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.names: tuple[str, ...] = ()
        self.shares = np.zeros(0, np.float32)
        self.given_thresholds: dict[str, float] = {}
        self.train_labels: ItemLabels | None = None
        self.train_rows = self.held_rows = np.zeros(0, np.int64)
        self._held: tuple[NDArray[np.bool_], ItemFeatures] | None = None

    def labels(self) -> tuple[str, ...]:
        return self.names

    def thresholds(self) -> NDArray[np.float32]:
        return np.array([self.given_thresholds.get(name, 0.5) for name in self.names], np.float32)

    def validation_rows(self, view: TrainView) -> IntArray:
        return self.held_rows

    def find_column(self, items: Catalog) -> str:
        """The column whose values are the labels.

        Args:
            items: the catalogue.

        Raises:
            ConfigError: for a column that is not there, or where none or several could be meant.
        """
        return label_column(items, self.config.column)

    def learnable(self, found: ItemLabels) -> ItemLabels:
        """The labels that can be given.

        Args:
            found: all labels of the items that training may see, the most frequent first.

        Raises:
            DataError: for fewer than two.
        """
        kept = found.take(np.arange(int((found.counts >= self.config.min_count).sum())))
        if len(kept.names) < 2:
            raise DataError(
                f"{len(kept.names)} labels with at least {self.config.min_count} items to learn from",
                column=self.column,
                hint="zero_shot_tagger needs no labelled items: --model zero_shot_tagger --set 'labels=[red, blue]'",
            )
        return kept

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        self.column = self.find_column(data.items)
        return super().readable_content(plan, data)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Read the labels that training may see, and hold some out; the parts that are built next need their number.

        Args:
            train: all that training may see.
            run: seed of the items that are held out.
        """
        self.column = self.find_column(train.items_table)
        found = catalog_labels(train.items_table, self.column)
        single = bool(len(found.labelled)) and bool((found.lists.lengths <= 1).all())
        self.single = self.config.values == "single" or (self.config.values == "auto" and single)
        self.train_labels = self.learnable(found)
        self.names = self.train_labels.names
        self._hold_out(self.train_labels.labelled, train, run)
        counts = self.train_labels.matrix(self.train_rows).sum(0)
        self.shares = (counts / max(len(self.train_rows), 1)).astype(np.float32)
        self.given_thresholds = dict(getattr(self.config, "thresholds", {}))
        super().setup(train, run)

    def _hold_out(self, rows: IntArray, train: TrainView, run: RunContext) -> None:
        """Hidden items where the split has some, else a share of the labelled ones; none where training is repeated."""
        self.train_rows, self.held_rows, self._held = rows, np.zeros(0, np.int64), None
        tables = train.tables
        if tables is None or tables.build_queries is None:
            return
        held, items = super().validation_rows(train), train.items_table
        if len(held) and tables.build_queried_items is not None:
            items = tables.build_queried_items()
        else:
            shuffled = rng_for(run.seed, "tag", "held out").permutation(rows)
            held = np.sort(shuffled[: int(self.config.held_out * len(rows))])
            self.train_rows = np.setdiff1d(rows, held)
        if len(held):
            truth = item_labels(items.frame[self.column].gather(held), self.names).matrix(np.arange(len(held)))
            content = ItemFeatures.of(train.all_features, train.n_items)
            self.held_rows, self._held = held, (truth[:, : len(self.names)], content)

    def selected_settings(self) -> dict[str, Any]:
        if self._held is None or self.single or not isinstance(self.config, ThresholdConfig):
            return {}
        truth, content = self._held
        with torch.inference_mode():
            probabilities = self.tag_rows(content, self.held_rows)
        best = best_thresholds(probabilities, truth, self.config.min_positives)
        self.given_thresholds = {name: float(cut) for name, cut in zip(self.names, best)} | self.config.thresholds
        return {"thresholds": self.given_thresholds}

    def on_fit_end(self) -> None:
        super().on_fit_end()
        self.train_labels, self._held = None, None
        self.train_rows = np.zeros(0, np.int64)

    def extra_state(self) -> dict[str, Any]:
        return {
            "column": self.column,
            "labels": list(self.names),
            "single": self.single,
            "shares": self.shares.tolist(),
            "thresholds": self.given_thresholds,
        }

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        self.column, self.names, self.single = str(state["column"]), tuple(state["labels"]), bool(state["single"])
        self.shares = np.array(state["shares"], np.float32)
        self.given_thresholds = {str(name): float(cut) for name, cut in state["thresholds"].items()}

    @public
    def tags(self, items: Iterable[Any] | None = None) -> pl.DataFrame:
        """Labels of items of the catalogue, from their content alone.

        Args:
            items: external ids; all items if not given.

        Returns:
            Columns item, tag, probability; the tags of an item by falling probability, none for one without content.

        Raises:
            NotFittedError: before ``fit``.
            DataError: for an unknown id.
        """
        known = deployment_of(self)
        rows = np.arange(len(known.items)) if items is None else known.items.ids.rows(list(items))
        found = self.tags_of((known.features if self.item_features is None else self.item_features).take(rows))
        item = known.items.ids.ids.gather(rows[found["row"].to_numpy()]).alias("item")
        return found.drop("row").insert_column(0, item)

    def tags_of(self, content: ItemFeatures) -> pl.DataFrame:
        """Labels that are given to items: columns row, tag, probability.

        Args:
            content: features of ``n`` items.
        """
        n = content.n_items
        there = np.any([features.present for features in content.values()], axis=0) if content else np.ones(n, bool)
        parts = [np.zeros((0, 3))]
        for start in range(0, n, CHUNK):
            rows = np.arange(start, min(start + CHUNK, n))
            with torch.inference_mode():
                probabilities = self.tag(content.take(rows))
            at, label = np.nonzero(self.choose(probabilities) & there[rows, None])
            parts.append(np.stack([rows[at], label, probabilities[at, label]], axis=1))
        found = np.concatenate(parts)
        table = pl.DataFrame(
            {
                "row": found[:, 0].astype(np.int64),
                "tag": pl.Series(self.names, dtype=pl.String).gather(found[:, 1].astype(np.int64)),
                "probability": found[:, 2].astype(np.float32),
            }
        )
        return table.sort("row", "probability", descending=[False, True], maintain_order=True)

    @public
    def add_items(self, frame: Any, features: Mapping[str, Any | Features] | None = None) -> Self:
        """Encode new catalogue rows, so that :meth:`tags` knows them; nothing is retrained.

        Args:
            frame: pandas or polars rows with the catalogue's columns; missing ones are absent content.
            features: modality -> vectors of the new rows for modalities that came as ready vectors.

        Returns:
            The model itself.

        Raises:
            NotFittedError: before ``fit``.
            DataError: without an id column, or for an id that exists.
        """
        deployment_of(self).add_items(self, frame, features)
        return self
