"""Dataset: catalogue, interactions, relations and a split; it alone knows the test part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.batch import RaggedArray, UserBatch
from palate.core.boundary import public
from palate.core.errors import DataError
from palate.core.files import digest
from palate.core.given import as_features
from palate.data.catalog import Catalog
from palate.data.columns import errors_from, guess_interactions, guess_items
from palate.data.event_split import EventSplit, split_events
from palate.data.events import UNKNOWN_TIME, Events, codes
from palate.data.frames import dense_log, dense_searches, to_polars
from palate.data.histories import Histories
from palate.data.ids import IdMap
from palate.data.interactions import Interactions, PositiveRule
from palate.data.query_log import QueryLog, build_query_log
from palate.data.relations import Relations
from palate.data.splits import TEST, TRAIN, VALID, Positives, Split, SplitSpec, cold_users, make_split
from palate.data.views import BoolArray, EvaluationQueries, RankingQueries, TrainingTables, TrainView


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
        notes: guesses made while reading.
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

    @classmethod
    @public
    def from_frames(
        cls,
        items: Any,
        interactions: Any,
        users: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        roles: Mapping[str, str | Sequence[str]] | None = None,
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
    ) -> Dataset:
        """Build from pandas or polars tables.

        Args:
            items: one row an item.
            interactions: one row an event.
            users: one row a user; without it the users are those of the interactions.
            columns: item columns -> ``id`` or a kind (``text``, ``image`` ...); guessed where not given.
            roles: interaction role (``user``, ``item``, ``time`` ...) -> column name; guessed where not given.
                ``context`` may name several columns.
            positive: the rule for positives, such as ``{"rating": ">=4"}``; every event counts by default.
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

        Returns:
            The data set; guesses are in its ``notes``.

        Raises:
            DataError: naming column and row, for example an interaction with an item that the table lacks.
            FeatureError: naming row and column of a vector that is not finite.
            ConfigError: if ``split`` cannot be read.
        """
        read_from = {table: str(file) for table, file in (files or {}).items()}
        item_frame, log = to_polars(items), to_polars(interactions)
        with errors_from(read_from.get("items")):
            item_id, kinds, item_notes = guess_items(item_frame, columns, log)
        with errors_from(read_from.get("interactions")):
            role_columns, role_notes = guess_interactions(log, roles)
        item_ids = IdMap(item_frame[item_id], "item", read_from.get("items"))
        if users is None:
            with errors_from(read_from.get("interactions")):
                distinct = log[role_columns["user"]].drop_nulls().unique(maintain_order=True)
                user_catalog = Catalog.from_ids(distinct, "user")
        else:
            user_catalog = _user_catalog(to_polars(users), role_columns["user"], read_from.get("users"))
        folder = None if root is None else Path(root)
        ready = {name: as_features(vectors, name) for name, vectors in (features or {}).items()}
        catalog = Catalog(item_frame, item_ids, kinds, folder, ready, read_from.get("items"))
        ids = catalog.ids, user_catalog.ids
        table, drop_notes, dropped = dense_log(log, role_columns, *ids, read_from.get("interactions"))
        searched = [table] if "query" in table.columns else []
        if searches is not None:
            searched.append(dense_searches(to_polars(searches), *ids, read_from.get("searches")))
        query_frame = None if queries is None else to_polars(queries)
        spec = SplitSpec.parse(split) if isinstance(split, str) else split
        if spec is None:
            spec = SplitSpec(kind="given" if "part" in role_columns else "random")
        return cls(
            name,
            catalog,
            user_catalog,
            Interactions(table, read_from.get("interactions"), dropped),
            relations or Relations(),
            PositiveRule.parse(positive),
            spec,
            layout,
            (*item_notes, *role_notes, *drop_notes),
            build_query_log(searched, query_frame, read_from.get("queries")),
        )

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
            self.positive.model_dump_json(),
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
        times = log.frame["time"].fill_null(UNKNOWN_TIME).to_numpy().astype(np.int64) if log.has("time") else None
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
        return self._view((TRAIN,), self.split.visible_items, VALID, self.split.valid_candidates)

    def refit_view(self) -> TrainView | None:
        """The training and validation parts without questions; None in protocols without a second training."""
        if not self.split.refit:
            return None
        return self._view((TRAIN, VALID), self.split.refit_items, None, None)

    def test_queries(self) -> EvaluationQueries:
        """The test questions; opened once, after all selection. Callers count the openings."""
        return self._queries(self._known_at_test, TEST, self.split.test_candidates)

    def validation_events(self) -> RankingQueries:
        """The validation events as questions of ranking."""
        return self._ranking_queries((TRAIN,), VALID)

    def test_events(self) -> RankingQueries:
        """The test events as questions of ranking; opened once, as :meth:`test_queries`."""
        return self._ranking_queries(self._known_at_test, TEST)

    def _fitted(self, known: Sequence[int]) -> list[int]:
        """Those of the ``known`` parts that the model was fitted on."""
        return [part for part in known if part == TRAIN or self.split.refit]

    @property
    def _known_at_test(self) -> tuple[int, ...]:
        # each user's last item is asked with all earlier ones known, as published results of sequence models are
        return (TRAIN, VALID) if self.split.refit or self.spec.kind == "leave_one_out" else (TRAIN,)

    def _view(
        self,
        parts: Sequence[int],
        visible_items: BoolArray,
        queried: int | None,
        candidates: BoolArray | None,
    ) -> TrainView:
        data = self.positives
        keep = np.isin(self.split.part, parts)
        users, items = data.users[keep], data.items[keep]
        times = None if data.times is None else data.times[keep]
        shown: BoolArray | None = None if visible_items.all() else visible_items
        tables = TrainingTables(
            partial(self._events_of, parts),
            partial(self._visible_users, parts),
            partial(self.items.restrict, shown),
            None if queried is None else partial(self._ranking_queries, parts, queried),
            None if candidates is None else partial(self.items.restrict, visible_items | candidates),
        )
        until = None if times is None or not len(times) else int(times.max())
        return TrainView(
            data.n_users,
            data.n_items,
            users,
            items,
            times,
            visible_items,
            self.relations if visible_items.all() else self.relations.subgraph(visible_items),
            valid=None
            if queried is None or not (self.split.part == queried).any()
            else self._queries(parts, queried, candidates),
            searches=None if self.searches is None else self.searches.restrict_to(users, items, data.n_items, until),
            event_codes=None if data.events is None else data.events[keep],
            event_names=() if self.event_names is None else tuple(self.event_names.to_list()),
            tables=tables,
        )

    def _events_of(self, parts: Sequence[int]) -> tuple[Events, BoolArray]:
        rows = np.isin(self.event_split.part, parts)
        return self.events.take(rows), self.event_split.positive[rows]

    def _visible_users(self, parts: Sequence[int]) -> Catalog:
        hidden = self.spec.kind == "user_cold" and not self.spec.transductive
        return self.users.restrict(np.isin(cold_users(self.spec, self.n_users), parts) if hidden else None)

    def _ranking_queries(self, known: Sequence[int], part: int) -> RankingQueries:
        """Questions about the events of ``part``; in a log with impressions only about events of an impression."""
        split, events = self.event_split, self.events
        trained = np.isin(split.part, known)
        questions = split.part == part
        usable = trained.copy()
        if split.given is not None:
            usable |= split.given & questions
            questions &= ~split.given
        usable |= ~events.shown
        questions &= events.shown
        grouped = events.impression is not None and (events.impression >= 0).any()
        groups = np.asarray(events.impression if grouped else events.user)
        if split.chronological:
            usable[:] = True
        in_table = np.bincount(events.user[np.isin(split.part, self._fitted(known))], minlength=self.n_users) > 0
        users = events.user[questions]
        return RankingQueries(
            events.take(questions),
            np.where(in_table[users], users, -1),
            groups[questions],
            Histories.build(events, self.n_users, usable),
            self.users,
            self.items,
        )

    def _queries(self, known: Sequence[int], part: int, candidates: BoolArray | None) -> EvaluationQueries:
        """Questions about the positives of ``part``, for users of whom anything is known."""
        data, split = self.positives, self.split
        trained = np.isin(split.part, known)
        answers = split.part == part
        seen = trained
        if split.fold_in and split.history is not None:
            seen = trained | (split.history & answers)
            answers = answers & ~split.history
        history = self._lists(seen)
        users = np.flatnonzero((history.lengths > 0) & (np.bincount(data.users[answers], minlength=data.n_users) > 0))
        in_table = np.bincount(data.users[np.isin(split.part, self._fitted(known))], minlength=data.n_users) > 0
        rows = np.where(in_table[users], users, -1)
        masked = seen if self.spec.mask == "train" else split.part != part
        relevant = self._lists(answers).take(users)
        return EvaluationQueries(
            UserBatch(rows, history.take(users)), relevant, self._lists(masked).take(users), candidates
        )

    def _lists(self, keep: BoolArray) -> RaggedArray:
        data = self.positives
        times, events = (None if column is None else column[keep] for column in (data.times, data.events))
        return RaggedArray.build(data.users[keep], data.items[keep], data.n_users, times, events)


def _user_catalog(frame: pl.DataFrame, column: str, file: str | None) -> Catalog:
    """Users by the column of the log's users, else by the first; all other columns are attributes."""
    column = column if column in frame.columns else frame.columns[0]
    kinds = {name: "attributes" for name in frame.columns if name != column}
    return Catalog(frame, IdMap(frame[column], "user", file), kinds, file=file)
