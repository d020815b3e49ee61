"""Dataset: catalogue, interactions, relations and a split; it alone knows the test part."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.boundary import public
from palate.core.errors import DataError
from palate.core.files import digest
from palate.core.given import as_features
from palate.data.absent import ABSENT
from palate.data.building import FrameTables, build_parts
from palate.data.catalog import Catalog
from palate.data.dataset_views import build_view, queries_of, ranking_queries
from palate.data.event_split import EventSplit, split_events
from palate.data.events import Events, codes
from palate.data.frames import to_source
from palate.data.id_spelling import IdColumn
from palate.data.interactions import Interactions, PositiveRule
from palate.data.issues import DataIssue
from palate.data.query_log import QueryLog
from palate.data.relations import Relations
from palate.data.splits import TEST, TRAIN, UNKNOWN_TIME, VALID, Positives, Split, SplitSpec, make_split
from palate.data.views import EvaluationQueries, RankingQueries, TrainView


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Catalogues of items and users, and their interactions.

    Attributes:
        name: for reports.
        items: the items' catalogue.
        users: the users' catalogue, possibly of ids alone.
        interactions: the log, with rows of both catalogues.
        relations: edges between items, or from items to other entities.
        positive: the rule for positives.
        spec: settings of the split.
        layout: name of the layout it was read in.
        notes: guesses made while reading, and what was left out.
        issues: what was left out or may be wrong, as ``palate check`` reports it.
        searches: queries that led to items, where known.
    """

    name: str
    items: Catalog
    users: Catalog
    interactions: Interactions
    relations: Relations = field(default_factory=Relations)
    positive: PositiveRule = field(default_factory=PositiveRule)
    spec: SplitSpec = field(default_factory=SplitSpec)
    layout: str = "frames"
    notes: tuple[str, ...] = ()
    searches: QueryLog | None = None
    issues: tuple[DataIssue, ...] = ()

    @classmethod
    @public
    def from_frames(
        cls,
        items: Any,
        interactions: Any,
        users: Any = None,
        *,
        columns: Mapping[str, str | None] | None = None,
        roles: Mapping[str, str | Sequence[str] | None] | None = None,
        positive: PositiveRule | Mapping[str, Any] | None = None,
        split: SplitSpec | str | None = None,
        features: Mapping[str, Any] | None = None,
        relations: Relations | None = None,
        root: str | Path | None = None,
        name: str = "frames",
        layout: str = "frames",
        files: Mapping[str, str | Path] | None = None,
        searches: Any = None,
        queries: Any = None,
        ids: str | Mapping[str, str] | None = None,
        absent: Collection[str] | None = None,
        relation_ids: Sequence[IdColumn] = (),
        notes: Sequence[str] = (),
    ) -> Dataset:
        """Build from pandas or polars tables.

        Args:
            items: one row an item.
            interactions: one row an event.
            users: one row a user; without it the users are those of the interactions.
            columns: item columns -> ``id``, a kind (``text``, ``image`` ...) or a form of an attribute (``number``,
                ``category``, ``list``); guessed where not given. A kind -> None says that no column is of this kind.
            roles: interaction role (``user``, ``item``, ``time`` ...) -> column name; guessed where not given. None
                says that no column has the role, ``context`` may name several, ``time_format`` says how times are
                written.
            positive: the rule for positives, such as ``{"rating": ">=4"}``, of roles or of the log's own columns; by
                default events with label 1 where there is a label of 0 and 1, else every event. ``{}`` is every event.
            split: settings of the split, such as ``item_cold:seed=3``; by default ``given`` if the interactions have
                parts, else ``random``.
            features: ready vectors by modality, aligned with ``items``: arrays [items, width], in which a row of NaN
                is an item without them, or ``palate.Features``.
            relations: edges between items, or from items to other entities.
            root: folder that relative media paths start from.
            name: for reports.
            layout: name of the layout it was read in.
            files: table -> the file it was read from, for error messages.
            searches: one row a search that led to an item, with user, item, query and maybe time; added to the
                ``query`` column of the interactions.
            queries: id and text of each query; without it a query is its own words.
            ids: ``text`` or ``integer``, or such a type by entity (``item``, ``user``, ``query``); by default whole
                numbers where every id of every table is its own usual spelling of one, else text.
            absent: words that mean "no value", instead of ``NULL``, ``NaN``, ``N/A`` and the like.
            relation_ids: ids of items that ``relations`` were read from, to choose the type of ids.
            notes: what the reader has to say.

        Returns:
            The data set; guesses are in its ``notes``.

        Raises:
            DataError: naming column and row, for example an interaction with an item that the table lacks.
            FeatureError: naming row and column of a vector that is not finite.
            ConfigError: if ``split`` cannot be read.
        """
        frames = {
            "items": items,
            "interactions": interactions,
            "users": users,
            "searches": searches,
            "queries": queries,
        }
        words = ABSENT if absent is None else absent
        parts = build_parts(
            FrameTables(
                {table: to_source(frame, words) for table, frame in frames.items() if frame is not None},
                {table: str(file) for table, file in (files or {}).items()},
                columns,
                roles,
                positive,
                SplitSpec.parse(split) if isinstance(split, str) else split,
                features or {},
                None if root is None else Path(root),
                ids,
                relation_ids,
                notes,
            )
        )
        return cls(name, relations=relations or Relations(), layout=layout, **parts._asdict())

    @public
    def with_split(self, split: SplitSpec | str) -> Dataset:
        """The same data with another split.

        Args:
            split: settings, or text such as ``item_cold:seed=3``.

        Raises:
            ConfigError: if the text cannot be read.
        """
        return replace(self, spec=SplitSpec.parse(split) if isinstance(split, str) else split)

    @public
    def with_features(self, features: Mapping[str, Any]) -> Dataset:
        """The same data with ready vectors for some modalities.

        Args:
            features: vectors by modality, aligned with the items, as for :meth:`from_frames`.

        Raises:
            DataError: if the vectors are not aligned.
            FeatureError: naming row and column of a vector that is not finite.
        """
        ready = {name: as_features(vectors, name) for name, vectors in features.items()}
        return replace(self, items=replace(self.items, given={**self.items.given, **ready}))

    def __repr__(self) -> str:
        parts = [f"{self.n_users:,} users", f"{self.n_items:,} items", f"{len(self.interactions):,} interactions"]
        content = ", ".join(self.items.modalities) or "none"
        return (
            f"<Dataset {self.name}: {', '.join(parts)}; content: {content}; positives: {self.positive}; "
            f"split: {self.spec}>"
        )

    def with_issues(self, issues: Sequence[DataIssue], **changes: Any) -> Dataset:
        """The same data with further issues, which are notes as well.

        Args:
            issues: what was left out or may be wrong.
            changes: attributes to replace.
        """
        notes = (*self.notes, *(issue.message for issue in issues))
        return replace(self, notes=notes, issues=(*self.issues, *issues), **changes)

    @property
    def guesses(self) -> tuple[str, ...]:
        """The notes without those that an issue repeats."""
        return self.notes[: len(self.notes) - len(self.issues)]

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.users)

    @property
    def n_items(self) -> int:
        """Number of items."""
        return len(self.items)

    @cached_property
    def hash(self) -> str:
        """Hash of everything that decides a result: content, log, relations, the rule for positives."""
        return digest(
            self.items.content_hash(),
            self.users.content_hash(),
            self.interactions.content_hash(),
            self.relations.content_hash(),
            self.positive.key,
            *([] if self.searches is None else [self.searches.content_hash()]),
        )

    @cached_property
    def positives(self) -> Positives:
        """The positives as arrays, one for each (user, item) pair.

        Raises:
            DataError: if the rule for positives cannot be applied.
        """
        log = self.interactions.positives(self.positive)
        part = log.array("part").astype(np.int8) if log.has("part") else None
        times = log.frame["time"].cast(pl.Int64).fill_null(UNKNOWN_TIME).to_numpy() if log.has("time") else None
        users, items = (log.array(role).astype(np.int64) for role in ("user", "item"))
        events = None if self.event_names is None else codes(log.frame["event"].cast(pl.String), self.event_names)[0]
        return Positives(users, items, times, part, self.n_users, self.n_items, events)

    @cached_property
    def event_names(self) -> pl.Series | None:
        """Names of the event types of the log, sorted; None where the log has no types."""
        log = self.interactions
        return log.frame["event"].cast(pl.String).drop_nulls().unique().sort() if log.has("event") else None

    @cached_property
    def events(self) -> Events:
        """All interactions of all parts as columns, in time order; built at first use.

        Raises:
            DataError: as :meth:`palate.data.events.Events.build`.
        """
        return Events.build(self.interactions, self.positive)

    @cached_property
    def event_split(self) -> EventSplit:
        """The part of every event; see :func:`palate.data.event_split.split_events`."""
        frame = self.interactions.in_time_order()
        part = frame["part"].to_numpy().astype(np.int8) if "part" in frame.columns else None
        accepted = self.positive.mask(frame).to_numpy()
        return split_events(self.spec, self.split, self.positives, self.events, accepted, part)

    @cached_property
    def split(self) -> Split:
        """The split of the positives.

        Raises:
            DataError: if the split needs a column that the log lacks, or leaves nothing to train on.
        """
        split = make_split(self.spec, self.positives)
        if not (split.part == TRAIN).any():
            raise DataError("no training positive is left", key=str(self.spec), hint="check --positive and --split")
        return split

    def select_view(self) -> TrainView:
        """The training part with validation questions: the stage in which everything is selected."""
        return build_view(self, (TRAIN,), self.split.visible_items, VALID, self.split.valid_candidates)

    def refit_view(self) -> TrainView | None:
        """The training and validation parts without questions; None in protocols without a second training."""
        if not self.split.refit:
            return None
        return build_view(self, (TRAIN, VALID), self.split.refit_items, None, None)

    def test_queries(self) -> EvaluationQueries:
        """The test questions; opened once, after all selection. Callers count the openings."""
        return queries_of(self, self._known_at_test, TEST, self.split.test_candidates)

    def validation_events(self) -> RankingQueries:
        """The validation events as questions of ranking."""
        return ranking_queries(self, (TRAIN,), VALID)

    def test_events(self) -> RankingQueries:
        """The test events as questions of ranking; opened once, as :meth:`test_queries`."""
        return ranking_queries(self, self._known_at_test, TEST)

    @property
    def _known_at_test(self) -> tuple[int, ...]:
        # each user's last item is asked with all earlier ones known, as published results of sequence models are
        return (TRAIN, VALID) if self.split.refit or self.spec.kind == "leave_one_out" else (TRAIN,)
