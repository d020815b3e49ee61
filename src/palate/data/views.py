"""Views of a data set: training data, and the questions of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.events import Events
from palate.data.histories import Histories
from palate.data.query_log import QueryLog
from palate.data.relations import Relations

if TYPE_CHECKING:
    import scipy.sparse as sp

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EvaluationQueries:
    """Questions of retrieval with known answers: which items will these users take?

    Attributes:
        users: the users, each with its row in the training table (or -1) and its known history.
        relevant: the answers, one list a user, never empty.
        exclude: items removed from the candidates of each user.
        candidates: bool [n_items], or None if every item is a candidate.
    """

    users: UserBatch
    relevant: RaggedArray
    exclude: RaggedArray
    candidates: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> EvaluationQueries:
        """Only these questions.

        Args:
            rows: int64 row numbers.
        """
        return EvaluationQueries(
            self.users.take(rows), self.relevant.take(rows), self.exclude.take(rows), self.candidates
        )


@dataclass(frozen=True, eq=False)
class RankingQueries:
    """Questions of ranking: shown items with known labels, and the users' histories at that moment.

    Attributes:
        events: the questions, with labels, times, positions, impressions and context where known.
        users: int64 [n], the row of each question's user in the training table, -1 for users without a training event.
        groups: int64 [n], questions to be ranked against each other: those of one impression; of one user where no
            impression is known.
        histories: positive events of the users; :meth:`history` cuts them at the time of each question.
        users_table: the users' own columns.
        items_table: the items' own columns, also of items hidden in fitting.
        known: labelled events that may be known when a question is asked, if they were before it.
    """

    events: Events
    users: IntArray
    groups: IntArray
    histories: Histories
    users_table: Catalog
    items_table: Catalog
    known: Events

    def __len__(self) -> int:
        return len(self.events)

    def knowing(self, events: Events) -> RankingQueries:
        """The same questions where nothing but these events is known: histories and counters stop with them.

        Args:
            events: as those of the training part, for a server that learns nothing after training.
        """
        return replace(self, histories=Histories.build(events, len(self.users_table)), known=events)

    def take(self, rows: IntArray | BoolArray) -> RankingQueries:
        """Only these questions.

        Args:
            rows: int64 row numbers, or bool [n].
        """
        return replace(self, events=self.events.take(rows), users=self.users[rows], groups=self.groups[rows])

    def history(self, rows: IntArray | slice = slice(None), max_length: int | None = None) -> RaggedArray:
        """The liked items of each question's user, strictly before the question.

        Args:
            rows: which questions; all by default.
            max_length: keep only this many, the most recent ones.
        """
        time = None if self.events.time is None else self.events.time[rows]
        return self.histories.before(self.events.user[rows], time, self.events.item[rows], max_length)


@dataclass(frozen=True, eq=False)
class TrainingTables:
    """Tables of a view that are built at first use and shared by its copies.

    Attributes:
        build_events: builds all training events, and bool [n], the events that the training positives stand for.
        build_users: builds the users' catalogue without the rows that fitting may not see.
        build_items: builds the items' catalogue without the rows that fitting may not see.
        build_queries: builds the validation events as questions of ranking; None in a refit.
        build_queried_items: builds the items' own columns with those of items that validation asks about; None where
            validation asks about no hidden item.
    """

    build_events: Callable[[], tuple[Events, BoolArray]]
    build_users: Callable[[], Catalog]
    build_items: Callable[[], Catalog]
    build_queries: Callable[[], RankingQueries] | None = None
    build_queried_items: Callable[[], Catalog] | None = None

    @cached_property
    def events(self) -> tuple[Events, BoolArray]:
        """All training events, and the mask of those that the training positives stand for."""
        return self.build_events()

    @cached_property
    def users(self) -> Catalog:
        """The users' catalogue."""
        return self.build_users()

    @cached_property
    def items(self) -> Catalog:
        """The items' catalogue."""
        return self.build_items()

    @cached_property
    def queries(self) -> RankingQueries | None:
        """The validation events as questions of ranking."""
        return None if self.build_queries is None else self.build_queries()


@dataclass(frozen=True, eq=False)
class TrainView:
    """All data that training and selection may see; nothing of the test part.

    Attributes:
        n_users: number of users.
        n_items: number of items.
        users: int64 [n], the users of the training positives.
        items: int64 [n], their items.
        times: int64 [n] or None.
        visible_items: bool [n_items], items whose content may be seen.
        relations: edges among visible items.
        features: content by name, rows outside ``visible_items`` absent.
        fields: content of single columns by name, for models that weigh columns; masked likewise.
        all_features: content of all items, for answering validation questions about items hidden in fitting; it is
            handed to :meth:`Model.update_items` as a new item's content would be, and never read in training.
        sources: modalities that each feature and field is made of.
        valid: validation questions, None in a refit.
        searches: queries that led to training positives, None if no queries are known.
        query_features: their texts, encoded, for models that need them.
        event_codes: int64 [n], the type of the event of each training positive, or None.
        event_names: names of event types.
        tables: events and catalogues, built at first use; see :attr:`events`, :attr:`users_table`,
            :attr:`items_table`.
    """

    n_users: int
    n_items: int
    users: IntArray
    items: IntArray
    times: IntArray | None
    visible_items: BoolArray
    relations: Relations
    features: Mapping[str, Features] = field(default_factory=dict)
    fields: Mapping[str, Features] = field(default_factory=dict)
    all_features: Mapping[str, Features] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    valid: EvaluationQueries | None = None
    searches: QueryLog | None = None
    query_features: Features | None = None
    event_codes: IntArray | None = None
    event_names: tuple[str, ...] = ()
    tables: TrainingTables | None = None

    def __len__(self) -> int:
        return len(self.users)

    def with_features(
        self, features: Mapping[str, Features], fields: Mapping[str, Features] | None = None
    ) -> TrainView:
        """This view with content; rows outside ``visible_items`` are masked here, so that no caller can forget it.

        Args:
            features: content by name.
            fields: content of single columns by name.
        """
        all_features = {**features, **(fields or {})}
        visible = {
            name: value if self.visible_items.all() else value.mask_rows(self.visible_items)
            for name, value in all_features.items()
        }
        main = {name: visible[name] for name in features}
        single = {name: visible[name] for name in fields or {}}
        return replace(self, features=main, fields=single, all_features=all_features)

    @cached_property
    def matrix(self) -> sp.csr_array:
        """float32 [n_users, n_items], ones at training positives."""
        import scipy.sparse as sp

        ones = np.ones(len(self), np.float32)
        return sp.csr_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def history(self) -> RaggedArray:
        """Training positives by user."""
        return RaggedArray.build(self.users, self.items, self.n_users, self.times, self.event_codes)

    @property
    def events(self) -> Events:
        """All interactions of the training part in time order, not only positives; built at first use.

        Raises:
            DataError: if the view was made without a log.
        """
        return self._tables.events[0]

    @property
    def positive(self) -> BoolArray:
        """bool [n events]: the events that training positives stand for; ``events.item[positive]`` is :attr:`items`.

        Raises:
            DataError: if the view was made without a log.
        """
        return self._tables.events[1]

    @cached_property
    def histories(self) -> Histories:
        """Positive training events by user, to be cut at the time of each event.

        Raises:
            DataError: if the view was made without a log.
        """
        return Histories.build(self.events, self.n_users)

    @property
    def users_table(self) -> Catalog:
        """The users' own columns; nulls for users that fitting may not see.

        Raises:
            DataError: if the view was made without tables.
        """
        return self._tables.users

    @property
    def items_table(self) -> Catalog:
        """The items' own columns; nulls for items outside ``visible_items``.

        Raises:
            DataError: if the view was made without tables.
        """
        return self._tables.items

    @property
    def _tables(self) -> TrainingTables:
        if self.tables is None:
            raise DataError("this view was made without tables", hint="take it from Dataset.select_view()")
        return self.tables

    @property
    def ranking_queries(self) -> RankingQueries | None:
        """The validation events as questions of ranking; None in a refit, or if there are none."""
        queries = None if self.tables is None else self.tables.queries
        return queries if queries is not None and len(queries) else None

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """int64 [n_items], training positives by item."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def warm_items(self) -> BoolArray:
        """bool [n_items]: items with at least one training positive."""
        return self.popularity > 0

    @property
    def visible(self) -> dict[str, Features]:
        """All content that may be seen, features and fields."""
        return {**self.features, **self.fields}

    def sampled(self, users: int, seed: int) -> TrainView:
        """This view with a sample of its validation questions.

        Args:
            users: how many questions are kept at most.
            seed: draws the sample.
        """
        if self.valid is None or len(self.valid) <= users:
            return self
        rows = np.sort(np.random.default_rng([seed, 7]).choice(len(self.valid), users, replace=False))
        return replace(self, valid=self.valid.take(rows))

    def user_batch(self, rows: IntArray) -> UserBatch:
        """Users of the training table with their training histories.

        Args:
            rows: int64 [B], rows of users.
        """
        return UserBatch(rows, self.history.take(rows))
