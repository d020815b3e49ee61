"""Dataset: catalogue, interactions, relations and a split; it alone knows the test part."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
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
from palate.data.absent import ABSENT, absent_note
from palate.data.catalog import Catalog
from palate.data.columns import (
    TIME_FORMAT,
    errors_from,
    guess_interactions,
    guess_items,
    kind_notes,
    type_log,
    unused_columns,
)
from palate.data.event_split import EventSplit, split_events
from palate.data.events import Events, codes
from palate.data.feedback import default_rule, feedback_issues, parse_rule
from palate.data.frames import complete_users, dense_log, dense_searches, search_roles, to_source, user_column
from palate.data.histories import Histories
from palate.data.id_columns import absent_ids_named, unify_ids
from palate.data.id_spelling import IdColumn, parse_id_types
from palate.data.ids import IdMap
from palate.data.interactions import Interactions, PositiveRule
from palate.data.issues import DataIssue, issue_notes
from palate.data.item_columns import read_item_columns
from palate.data.key_columns import find_key
from palate.data.query_log import QueryLog, SearchTable, build_query_log, query_column
from palate.data.relations import Relations
from palate.data.splits import (
    TEST,
    TRAIN,
    UNKNOWN_TIME,
    VALID,
    Positives,
    Split,
    SplitSpec,
    cold_users,
    make_split,
    timed,
)
from palate.data.user_columns import read_user_columns
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
        read_from = {table: str(file) for table, file in (files or {}).items()}
        given = {"items": items, "interactions": interactions, "users": users, "searches": searches, "queries": queries}
        words = ABSENT if absent is None else absent
        tables = {name: to_source(table, words) for name, table in given.items() if table is not None}
        said = [absent_note(name, table.absent) for name, table in tables.items()]
        named = {role: column if isinstance(column, str) else None for role, column in (roles or {}).items()}
        log_frame = tables["interactions"].frame
        with errors_from(read_from.get("items")):
            guess = guess_items(tables["items"].frame, columns, log_frame, named.get("item"))
        item_id = guess.item_id
        user_place = (
            find_key(tables["users"].frame, log_frame, "user", named.get("user")) if users is not None else None
        )
        spec = SplitSpec.parse(split) if isinstance(split, str) else split
        with errors_from(read_from.get("interactions")):
            keys = {"item": guess.log_item, "user": None if user_place is None else user_place[1]}
            given_split = spec is not None and spec.kind == "given"
            role_columns, role_notes = guess_interactions(log_frame, roles, keys, given_split)
        with errors_from(read_from.get("positive", read_from.get("interactions"))):
            given_rule = parse_rule(positive, role_columns)
        places = {
            "item": [("items", item_id), ("interactions", role_columns["item"])],
            "user": [("interactions", role_columns["user"])],
            "query": [],
        }
        if users is not None:
            frame = tables["users"].frame
            places["user"].append(("users", user_place[0] if user_place else user_column(frame, role_columns["user"])))
        searched_roles: dict[str, str] = {}
        if searches is not None:
            searched_roles = search_roles(tables["searches"].frame, read_from.get("searches"))
            for role in places:
                places[role].append(("searches", searched_roles[role]))
        if queries is not None:
            places["query"].append(("queries", query_column(tables["queries"].frame)))
            places["query"] += [("interactions", role_columns["query"])] if "query" in role_columns else []
        others = {"item": relation_ids}
        tables, id_notes = unify_ids(tables, places, parse_id_types(ids), read_from, others)
        content = read_item_columns(tables["items"].frame, guess.columns)
        with errors_from(read_from.get("interactions")):
            typed, log_issues = type_log(
                tables["interactions"].frame, role_columns, read_from.get("interactions"), named.get(TIME_FORMAT)
            )
        log = tables["interactions"].with_columns(*typed)
        refused = [role for role, column in (roles or {}).items() if column is None]
        log_issues += unused_columns(log.frame, role_columns, refused)
        with absent_ids_named(tables["items"], item_id):
            item_ids = IdMap(tables["items"].frame[item_id], "item", read_from.get("items"))
        log_users = log.frame[role_columns["user"]]
        issues = [issue for table in tables.values() for issue in table.issues]
        user_issues: list[DataIssue] = []
        if users is None:
            with errors_from(read_from.get("interactions")):
                user_catalog = Catalog.from_ids(log_users.drop_nulls().unique(maintain_order=True), "user")
        else:
            user_key = places["user"][1][1]
            users_read = read_user_columns(tables["users"].frame, user_key)
            user_ids = IdMap(users_read.frame[user_key], "user", read_from.get("users"))
            user_catalog = Catalog(
                users_read.frame, user_ids, users_read.kinds, None, {}, read_from.get("users"), users_read.decimals
            )
            user_issues = users_read.issues
            user_catalog, found = complete_users(user_catalog, log_users, read_from.get("interactions"))
            issues += found
        folder = None if root is None else Path(root)
        ready = {name: as_features(vectors, name) for name, vectors in (features or {}).items()}
        catalog = Catalog(
            content.frame,
            item_ids,
            content.kinds,
            folder,
            ready,
            read_from.get("items"),
            content.decimals,
        )
        both = catalog.ids, user_catalog.ids
        dense = dense_log(log, role_columns, *both, read_from.get("interactions"))
        issues += dense.issues
        rule = default_rule(dense.table) if given_rule is None else given_rule
        log_issues += feedback_issues(dense.table, rule, role_columns, given_rule is None)
        columns_said = [
            *issue_notes(content.issues, "items", read_from.get("items")),
            *issue_notes(user_issues, "users", read_from.get("users")),
            *issue_notes(log_issues, "interactions", read_from.get("interactions")),
        ]
        for note, issue in columns_said:
            if issue.severity == "warning":
                warnings.warn(f"{note} -> {issue.hint}" if issue.hint else note, stacklevel=2)
        searched = []
        if "query" in dense.table.columns:
            searched.append(SearchTable(dense.table, read_from.get("interactions"), role_columns["query"]))
        if searches is not None:
            typed_searches = dense_searches(tables["searches"], searched_roles, *both, read_from.get("searches"))
            issues += typed_searches.issues
            searched.append(SearchTable(typed_searches.table, read_from.get("searches"), searched_roles["query"]))
        query_frame = None if queries is None else tables["queries"].frame
        if spec is None:
            spec = SplitSpec(kind="given" if "part" in role_columns else "random")
        kinds = kind_notes(content.kinds) if guess.guessed else []
        spoken = (*notes, *filter(None, said), *guess.notes, *kinds, *role_notes, *id_notes, *dense.notes)
        return cls(
            name,
            catalog,
            user_catalog,
            Interactions(dense.table, read_from.get("interactions"), dense.dropped),
            relations or Relations(),
            rule,
            spec,
            layout,
            (
                *spoken,
                *(issue.message for issue in issues),
                *(note for note, _ in columns_said),
            ),
            build_query_log(searched, query_frame, read_from.get("queries")),
            (*issues, *(issue for _, issue in columns_said)),
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
        asked = None
        if queried is not None and (self.split.part == queried).any():
            asked = self._queries(parts, queried, candidates)
        known = times[timed(times)] if times is not None else np.zeros(0, np.int64)
        until = int(known.max()) if len(known) else None
        return TrainView(
            data.n_users,
            data.n_items,
            users,
            items,
            times,
            visible_items,
            self.relations if visible_items.all() else self.relations.subgraph(visible_items),
            valid=None if asked is None or not len(asked) else asked,
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
