"""The contract of ranking: how likely is this user to take each of these items, here and now?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from palate.batches.impressions import ImpressionBatches
from palate.contracts.model import Model
from palate.contracts.spec import InputSpec, Requirements
from palate.core.artifacts import Artifact
from palate.core.batch import BatchSource, ImpressionBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.schema import Schema
from palate.data.views import TrainView
from palate.modules.fields import FieldTables


class RankerConfig(TrainedConfig):
    """Settings of rankers."""

    longest: int = Field(50, ge=1, description="newest items that a history keeps")
    negatives: int = Field(
        0,
        ge=0,
        description="0 learns from every event and its label; else from clicks, each with this many items of the same "
        "impression that were not clicked",
    )
    min_count: int = Field(
        1, ge=1, description="values of fields that occur in fewer training events are out of vocabulary"
    )


class Ranker(Model):
    """A system that scores the items of an impression, or any list of candidates.

    Attributes:
        tables: fields of all users and items, made in :meth:`setup`.
    """

    task_name: ClassVar[str] = "rank"
    requirements: ClassVar[Requirements] = Requirements(labels=True)
    config: RankerConfig
    tables: FieldTables
    _met: tuple[Catalog, Catalog] | None = None

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Fit the schema of fields on the training part, encode users and items, build.

        Args:
            train: all that training may see.
            run: how to run.
        """
        schema = Schema.fit(train, min_count=self.config.min_count)
        dims = {name: features.dim for name, features in train.features.items() if features.kind == "pooled"}
        sizes = {one.name: one.size for one in schema if one.kind != "sequence"}
        self.tables = FieldTables(schema)
        self.build(InputSpec(train.n_users, train.n_items, dims, sizes))
        self.tables.load(train.users_table, train.items_table)

    def meet_tables(self, users: Catalog, items: Catalog) -> None:
        """Encode tables that may hold entities hidden in fitting; nothing is learnt from them.

        Args:
            users: the users' own columns.
            items: the items' own columns.
        """
        if self._met is None or self._met[0] is not users or self._met[1] is not items:
            device = self.device
            self.tables.load(users, items)
            self.tables.to(device)
            self._met = users, items

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Labelled events, or clicks with items of their impressions that were not clicked."""
        return ImpressionBatches(train, self.tables.schema, self.config.longest, self.config.negatives)

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Scores before the sigmoid, float32 [n events] each.

        Args:
            batch: events with context, histories and groups.

        Returns:
            ``label`` for the label of the events; a multi-task model has more entries.

        Raises:
            UnsupportedError: for a model that does not rank.
        """
        raise UnsupportedError(f"{self.name} does not rank")

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Mean negative log-likelihood: of every label, or of the click in its row where ``negatives`` are drawn."""
        scores = self.logits(batch)["label"]
        if not self.config.negatives:
            return {"loss": F.binary_cross_entropy_with_logits(scores, batch.labels)}
        rows = scores.view(-1, self.config.negatives + 1)
        return {"loss": F.cross_entropy(rows, batch.groups.new_zeros(len(rows)))}

    def update_items(self, features: ItemFeatures) -> None:
        """Take new rows of items; of their fields nothing is known."""
        self.tables.grow(features.n_items)

    def artifacts(self) -> Mapping[str, Artifact]:
        """The schema of fields, with its vocabularies."""
        return {"schema": Artifact("schema", state={"fields": self.tables.schema.state()})}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        """Take the schema of a saved run."""
        if "schema" in artifacts:
            self.tables = FieldTables(Schema.from_state(artifacts["schema"].state["fields"]))
