"""Views of a data set: what training may see, and the questions of evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.events import Events
from palate.data.histories import Histories
from palate.data.query_log import QueryLog
from palate.data.relations import Relations

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EvaluationQueries:
    """Questions with known answers: for these users, which items?

    Attributes:
        users: what is known of each user (row in the training table or -1, history).
        relevant: the answers, one list a user, never empty.
        exclude: items taken out of the candidates for each user.
        candidates: bool [n_items], or None when every item is a candidate.
    """

    users: UserBatch
    relevant: RaggedArray
    exclude: RaggedArray
    candidates: BoolArray | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> EvaluationQueries:
        """Only these questions."""
        return EvaluationQueries(
            self.users.take(rows), self.relevant.take(rows), self.exclude.take(rows), self.candidates
        )


@dataclass(frozen=True, eq=False)
class RankingQueries:
    """Questions of ranking: shown items with known labels, each with what was known of its user at that moment.

    Attributes:
        events: the questions, with labels, times, positions, impressions and context where known.
        users: int64 [n], the row of each question's user in the training table, -1 for users without a training event.
        groups: int64 [n], questions to be ranked against each other: those of one impression; of one user where no
            impression is known.
        histories: what is known of the users; :meth:`history` cuts it at the time of each question.
        users_table: the users' own columns.
        items_table: the items' own columns, also of items hidden in fitting.
    """

    events: Events
    users: IntArray
    groups: IntArray
    histories: Histories
    users_table: Catalog
    items_table: Catalog

    def __len__(self) -> int:
        return len(self.events)

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
    """What a view reads only on demand.

    Attributes:
        events: all training events, and bool [n], the events that the training positives stand for.
        users: the users' own columns, as far as they may be seen.
        items: the items' own columns, as far as they may be seen.
        questions: validation questions of ranking; None where nothing is validated on.
    """

    events: Callable[[], tuple[Events, BoolArray]]
    users: Callable[[], Catalog]
    items: Callable[[], Catalog]
    questions: Callable[[], RankingQueries] | None = None


@dataclass(frozen=True, eq=False)
class TrainView:
    """Everything a trainer or a search may see; it holds no test part.

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
        seed: seeds everything random in training.
        searches: queries that led to training positives, None where nobody's are known.
        query_features: their texts, encoded, for models that need them.
        event_codes: int64 [n], the type of the event of each training positive, or None.
        event_names: names of event types.
        tables: events and catalogues, read on demand; see :attr:`events`, :attr:`users_table`, :attr:`items_table`.
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
    seed: int = 0
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
        """This view with content; rows outside ``visible_items`` are hidden here, so no caller can forget to."""
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
        ones = np.ones(len(self), np.float32)
        return sp.csr_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def history(self) -> RaggedArray:
        """Training positives by user."""
        return RaggedArray.build(self.users, self.items, self.n_users, self.times, self.event_codes)

    @property
    def events(self) -> Events:
        """All interactions of the training part in time order, not only positives; read at first use.

        Raises:
            DataError: if the view was made without a log.
        """
        return self._events[0]

    @property
    def positive(self) -> BoolArray:
        """bool [n events]: the events that training positives stand for; ``events.item[positive]`` is :attr:`items`.

        Raises:
            DataError: if the view was made without a log.
        """
        return self._events[1]

    @cached_property
    def histories(self) -> Histories:
        """Positive training events by user, to be cut at the time of each event.

        Raises:
            DataError: if the view was made without a log.
        """
        return Histories.build(self.events, self.n_users)

    @cached_property
    def users_table(self) -> Catalog:
        """The users' own columns; nulls for users that fitting may not see.

        Raises:
            DataError: if the view was made without tables.
        """
        return self._tables.users()

    @cached_property
    def items_table(self) -> Catalog:
        """The items' own columns; nulls for items outside ``visible_items``.

        Raises:
            DataError: if the view was made without tables.
        """
        return self._tables.items()

    @cached_property
    def ranking_queries(self) -> RankingQueries | None:
        """Labelled validation events, None in a refit or where the validation part has none."""
        if self.tables is None or self.tables.questions is None:
            return None
        queries = self.tables.questions()
        return queries if len(queries) else None

    @cached_property
    def _events(self) -> tuple[Events, BoolArray]:
        return self._tables.events()

    @property
    def _tables(self) -> TrainingTables:
        if self.tables is None:
            raise DataError("this view was made without tables", hint="take it from Dataset.select_view()")
        return self.tables

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

    def sampled(self, users: int) -> TrainView:
        """This view with at most ``users`` validation questions, drawn by its seed."""
        if self.valid is None or len(self.valid) <= users:
            return self
        rows = np.sort(np.random.default_rng([self.seed, 7]).choice(len(self.valid), users, replace=False))
        return replace(self, valid=self.valid.take(rows))

    def user_batch(self, rows: IntArray) -> UserBatch:
        """Users of the training table with their training histories."""
        return UserBatch(rows, self.history.take(rows))
