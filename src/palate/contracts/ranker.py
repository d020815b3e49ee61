"""The contract of ranking: how likely is this user to take each of these items, here and now?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.batches.impressions import ImpressionBatches, impression_batch
from palate.contracts.model import Model
from palate.contracts.spec import InputSpec, Requirements
from palate.core.artifacts import Artifact
from palate.core.batch import ImpressionBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.events import Events
from palate.data.schema import Schema, SchemaField
from palate.data.views import RankingQueries, TrainView
from palate.features.counters import Asked, CountedEvents, Counters
from palate.modules.fields import FieldTables

CHUNK = 4096
"""Questions of a batch."""
CounterKind = Literal["none", "past", "windows"]
"""No counters, those of all of the past, or also those of the newest events."""


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
    fields: tuple[str, ...] | None = Field(None, description="fields that are read, by name; None reads all")
    counters: CounterKind = Field("none", description="shares of positives of users, items and values as features")
    live: bool = Field(
        True,
        description="histories and counters know what happened after training, as a server with live events does; "
        "else they stop with it",
    )


class Ranker(Model):
    """A system that scores the items of an impression, or any list of candidates.

    Attributes:
        tables: fields of all users and items, made in :meth:`setup`.
        known: labelled events that counters are made of when the model is asked by its users; None before it is fitted.
    """

    task_name: ClassVar[str] = "rank"
    requirements: ClassVar[Requirements] = Requirements(labels=True)
    config: RankerConfig
    tables: FieldTables
    known: Events | None = None
    _counted: tuple[Events, NDArray[np.float32]] | None = None
    _sorted: tuple[Events, CountedEvents] | None = None
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
        maps = InputSpec.map_shapes(train.features)
        self.build(InputSpec(train.n_users, train.n_items, dims, sizes, maps))
        self.tables.load(train.users_table, train.items_table)
        self.know(train.events)

    def meet_tables(self, users: Catalog, items: Catalog) -> None:
        """Encode tables that may hold entities hidden in fitting; nothing is learnt from them.

        Args:
            users: the users' own columns.
            items: the items' own columns.
        """
        if self._met is None or self._met[0] is not users or self._met[1] is not items:
            device = self.device
            # asked while predicting, the tables would be inference tensors, into which no checkpoint can be copied
            with torch.inference_mode(False):
                self.tables.load(users, items)
                self.tables.to(device)
            self._met, self._sorted = (users, items), None
        self.meet_items(items)

    def meet_items(self, items: Catalog) -> None:
        """Read what else a model knows of a catalogue, such as its texts; called before questions about its items.

        Args:
            items: the items' own columns.
        """

    def batches(self, train: TrainView, run: RunContext) -> ImpressionBatches:
        """Labelled events, or clicks with items of their impressions that were not clicked."""
        c = self.config
        return ImpressionBatches(
            train, self.tables.schema, c.longest, c.negatives, self.counters_of_events(train.events)
        )

    @property
    def read_fields(self) -> list[SchemaField]:
        """Fields that the model reads, without sequences."""
        wanted = self.config.fields
        every = [one for one in self.tables.schema if one.kind != "sequence"]
        return [one for one in every if wanted is None or one.name in wanted]

    @property
    def counted_fields(self) -> list[str]:
        """Attributes of items whose values are counted."""
        able = ("categorical", "multivalued")
        return [one.name for one in self.read_fields if one.owner == "item" and one.column and one.kind in able]

    @property
    def counters(self) -> Counters | None:
        """What is counted; None without counters."""
        kind = self.config.counters
        return None if kind == "none" else Counters(self.counted_fields, windows=kind == "windows")

    @property
    def n_counters(self) -> int:
        """Number of columns of counters."""
        return 0 if self.counters is None else len(self.counters)

    def know(self, events: Events) -> None:
        """Keep the events that counters are made of when users ask.

        Args:
            events: all that are known, with their labels.
        """
        if self.config.counters != "none" or not self.config.live:
            self.known = Events(events.user, events.item, events.label, events.time)

    def counters_of_events(self, events: Events) -> NDArray[np.float32] | None:
        """Counters float32 [n, columns] of events of known labels, each without its own; None without counters.

        Args:
            events: n events.
        """
        if self.counters is None:
            return None
        if self._counted is None or self._counted[0] is not events:
            self._counted = events, self.counters.of_events(events, self._counted_tables())
        return self._counted[1]

    def counters_now(self, asked: Asked) -> NDArray[np.float32] | None:
        """Counters float32 [n, columns] of pairs with all that the model knows; None without counters.

        Events are sorted at the first call after they changed, O(m log m).

        Args:
            asked: n pairs.
        """
        if self.counters is None or self.known is None:
            return None
        if self._sorted is None or self._sorted[0] is not self.known:
            self._sorted = self.known, self.counters.over(self.known, self._counted_tables())
        return self._sorted[1](asked)

    def counters_of_questions(self, queries: RankingQueries) -> NDArray[np.float32] | None:
        """Counters float32 [n, columns] of labelled events; None without counters.

        Args:
            queries: n events.
        """
        if self.counters is None:
            return None
        self.meet_tables(queries.users_table, queries.items_table)
        known, events = self._known_to(queries).known, queries.events
        asked = Asked(events.user, events.item, events.time)
        return self.counters.before(known, asked, self._counted_tables())

    @contextmanager
    def prediction_pass(self) -> Iterator[None]:
        """A pass over many questions, within which a model may keep what it computed of items; weights stay."""
        yield

    def question_batches(
        self, queries: RankingQueries, counters: NDArray[np.float32] | None = None
    ) -> Iterator[ImpressionBatch]:
        """Labelled events as batches, in order, each event with its own history.

        Args:
            queries: n events.
            counters: float32 [n, columns], where they were computed before.
        """
        counters = self.counters_of_questions(queries) if counters is None else counters
        self.meet_tables(queries.users_table, queries.items_table)
        queries = self._known_to(queries)
        for start in range(0, len(queries), CHUNK):
            rows = np.arange(start, min(start + CHUNK, len(queries)))
            part, history = queries.take(rows), queries.history(rows, self.config.longest)
            context = self.tables.schema.encode_context(part.events)
            counted = None if counters is None else counters[rows]
            yield impression_batch(part.events, part.users, np.arange(len(rows)), history, context, counted)

    def _known_to(self, queries: RankingQueries) -> RankingQueries:
        """The questions as the model meets them: with all that was before, or with nothing after training."""
        return queries if self.config.live or self.known is None else queries.knowing(self.known)

    def _counted_tables(self) -> dict[str, NDArray[np.int64]]:
        return {name: self.tables.table(name).cpu().numpy() for name in self.counted_fields}

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
        return {"loss": self.click_loss(self.logits(batch)["label"], batch)}

    def click_loss(self, scores: Tensor, batch: ImpressionBatch) -> Tensor:
        """Mean negative log-likelihood of labels, or of the click in its row where ``negatives`` are drawn.

        Args:
            scores: float32 [n], before the sigmoid.
            batch: the n events.
        """
        if not self.config.negatives:
            return F.binary_cross_entropy_with_logits(scores, batch.labels)
        rows = scores.view(-1, self.config.negatives + 1)
        return F.cross_entropy(rows, batch.groups.new_zeros(len(rows)))

    def update_items(self, features: ItemFeatures) -> None:
        """Take new rows of items; of their fields nothing is known."""
        self.tables.grow(features.n_items)
        self._sorted = None

    def artifacts(self) -> Mapping[str, Artifact]:
        """The schema of fields, with its vocabularies, and the events that counters are made of."""
        kept = {"schema": Artifact("schema", state={"fields": self.tables.schema.state()})}
        if self.known is not None:
            columns = {name: getattr(self.known, name) for name in ("user", "item", "label", "time")}
            tensors = {name: torch.from_numpy(one.copy()) for name, one in columns.items() if one is not None}
            kept["counters"] = Artifact("counters", tensors)
        return kept

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        """Take the schema of a saved run."""
        if "schema" in artifacts:
            self.tables = FieldTables(Schema.from_state(artifacts["schema"].state["fields"]))
        if "counters" in artifacts:
            columns = {name: tensor.numpy() for name, tensor in artifacts["counters"].tensors.items()}
            self.known = Events(columns["user"], columns["item"], columns["label"], columns.get("time"))
