"""What training and evaluation see of a data set: views of parts, questions of matching and of ranking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np
import polars as pl

from palate.core.batch import RaggedArray, UserBatch
from palate.data.catalog import Catalog
from palate.data.event_split import EventSplit
from palate.data.events import Events
from palate.data.histories import Histories
from palate.data.query_log import QueryLog
from palate.data.relations import Relations
from palate.data.splits import TRAIN, Positives, Split, SplitSpec, cold_users, timed
from palate.data.views import BoolArray, EvaluationQueries, RankingQueries, TrainingTables, TrainView


class SplitData(Protocol):
    """What views and questions are made of: a :class:`palate.data.dataset.Dataset`."""

    @property
    def items(self) -> Catalog:
        """The items' catalogue."""

    @property
    def users(self) -> Catalog:
        """The users' catalogue."""

    @property
    def n_users(self) -> int:
        """Number of users."""

    @property
    def relations(self) -> Relations:
        """Edges between items, or from items to other entities."""

    @property
    def searches(self) -> QueryLog | None:
        """Queries that led to items, where known."""

    @property
    def spec(self) -> SplitSpec:
        """Settings of the split."""

    @property
    def positives(self) -> Positives:
        """The positives."""

    @property
    def events(self) -> Events:
        """All interactions in time order."""

    @property
    def event_names(self) -> pl.Series | None:
        """Names of the event types."""

    @property
    def split(self) -> Split:
        """The part of each positive."""

    @property
    def event_split(self) -> EventSplit:
        """The part of each event."""


def build_view(
    dataset: SplitData,
    parts: Sequence[int],
    visible_items: BoolArray,
    queried: int | None,
    candidates: BoolArray | None,
) -> TrainView:
    """The positives of some parts, with questions about another part.

    Args:
        dataset: the data set.
        parts: the parts that are shown.
        visible_items: bool [items], those whose content is shown.
        queried: the part that is asked about, or None.
        candidates: bool [items], the items that are asked about; all if None.
    """
    data = dataset.positives
    keep = np.isin(dataset.split.part, parts)
    users, items = data.users[keep], data.items[keep]
    times = None if data.times is None else data.times[keep]
    shown: BoolArray | None = None if visible_items.all() else visible_items
    tables = TrainingTables(
        partial(_events_of, dataset, parts),
        partial(_visible_users, dataset, parts),
        partial(dataset.items.restrict, shown),
        None if queried is None else partial(ranking_queries, dataset, parts, queried),
        None if candidates is None else partial(dataset.items.restrict, visible_items | candidates),
    )
    asked = None
    if queried is not None and (dataset.split.part == queried).any():
        asked = queries_of(dataset, parts, queried, candidates)
    known = times[timed(times)] if times is not None else np.zeros(0, np.int64)
    until = int(known.max()) if len(known) else None
    return TrainView(
        data.n_users,
        data.n_items,
        users,
        items,
        times,
        visible_items,
        dataset.relations if visible_items.all() else dataset.relations.subgraph(visible_items),
        valid=None if asked is None or not len(asked) else asked,
        searches=None if dataset.searches is None else dataset.searches.restrict_to(users, items, data.n_items, until),
        event_codes=None if data.events is None else data.events[keep],
        event_names=() if dataset.event_names is None else tuple(dataset.event_names.to_list()),
        tables=tables,
    )


def queries_of(dataset: SplitData, known: Sequence[int], part: int, candidates: BoolArray | None) -> EvaluationQueries:
    """Questions about the positives of ``part``, for users of whom anything is known.

    Args:
        dataset: the data set.
        known: the parts that are known when the questions are asked.
        part: the part that is asked about.
        candidates: bool [items], the items that are asked about; all if None.
    """
    data, split = dataset.positives, dataset.split
    trained = np.isin(split.part, known)
    answers = split.part == part
    seen = trained
    if split.fold_in and split.history is not None:
        seen = trained | (split.history & answers)
        answers = answers & ~split.history
    history = _lists(dataset, seen)
    users = np.flatnonzero((history.lengths > 0) & (np.bincount(data.users[answers], minlength=data.n_users) > 0))
    in_table = np.bincount(data.users[np.isin(split.part, _fitted(dataset, known))], minlength=data.n_users) > 0
    rows = np.where(in_table[users], users, -1)
    masked = seen if dataset.spec.mask == "train" else split.part != part
    relevant = _lists(dataset, answers).take(users)
    return EvaluationQueries(
        UserBatch(rows, history.take(users)), relevant, _lists(dataset, masked).take(users), candidates
    )


def ranking_queries(dataset: SplitData, known: Sequence[int], part: int) -> RankingQueries:
    """Questions about the events of ``part``; in a log with impressions only about events of an impression.

    Args:
        dataset: the data set.
        known: the parts that are known when the questions are asked.
        part: the part that is asked about.
    """
    split, events = dataset.event_split, dataset.events
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
    in_table = np.bincount(events.user[np.isin(split.part, _fitted(dataset, known))], minlength=dataset.n_users) > 0
    users = events.user[questions]
    return RankingQueries(
        events.take(questions),
        np.where(in_table[users], users, -1),
        groups[questions],
        Histories.build(events, dataset.n_users, usable),
        dataset.users,
        dataset.items,
        events.take(usable),
    )


def _fitted(dataset: SplitData, known: Sequence[int]) -> list[int]:
    """Those of the ``known`` parts that the model was fitted on."""
    return [part for part in known if part == TRAIN or dataset.split.refit]


def _events_of(dataset: SplitData, parts: Sequence[int]) -> tuple[Events, BoolArray]:
    rows = np.isin(dataset.event_split.part, parts)
    return dataset.events.take(rows), dataset.event_split.positive[rows]


def _visible_users(dataset: SplitData, parts: Sequence[int]) -> Catalog:
    hidden = dataset.spec.kind == "user_cold" and not dataset.spec.transductive
    return dataset.users.restrict(np.isin(cold_users(dataset.spec, dataset.n_users), parts) if hidden else None)


def _lists(dataset: SplitData, keep: BoolArray) -> RaggedArray:
    data = dataset.positives
    times, events = (None if column is None else column[keep] for column in (data.times, data.events))
    return RaggedArray.build(data.users[keep], data.items[keep], data.n_users, times, events)
