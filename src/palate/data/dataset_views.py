"""What training and evaluation see of a data set: views of parts, questions of matching and of ranking."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from palate.core.batch import RaggedArray, UserBatch
from palate.data.catalog import Catalog
from palate.data.events import Events
from palate.data.histories import Histories
from palate.data.splits import TRAIN, cold_users, timed
from palate.data.views import BoolArray, EvaluationQueries, RankingQueries, TrainingTables, TrainView

if TYPE_CHECKING:
    from palate.data.dataset import Dataset


def build_view(
    dataset: Dataset,
    parts: Sequence[int],
    visible_items: BoolArray,
    queried: int | None,
    candidates: BoolArray | None,
) -> TrainView:
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


def queries_of(dataset: Dataset, known: Sequence[int], part: int, candidates: BoolArray | None) -> EvaluationQueries:
    """Questions about the positives of ``part``, for users of whom anything is known."""
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


def ranking_queries(dataset: Dataset, known: Sequence[int], part: int) -> RankingQueries:
    """Questions about the events of ``part``; in a log with impressions only about events of an impression."""
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
    )


def _fitted(dataset: Dataset, known: Sequence[int]) -> list[int]:
    """Those of the ``known`` parts that the model was fitted on."""
    return [part for part in known if part == TRAIN or dataset.split.refit]


def _events_of(dataset: Dataset, parts: Sequence[int]) -> tuple[Events, BoolArray]:
    rows = np.isin(dataset.event_split.part, parts)
    return dataset.events.take(rows), dataset.event_split.positive[rows]


def _visible_users(dataset: Dataset, parts: Sequence[int]) -> Catalog:
    hidden = dataset.spec.kind == "user_cold" and not dataset.spec.transductive
    return dataset.users.restrict(np.isin(cold_users(dataset.spec, dataset.n_users), parts) if hidden else None)


def _lists(dataset: Dataset, keep: BoolArray) -> RaggedArray:
    data = dataset.positives
    times, events = (None if column is None else column[keep] for column in (data.times, data.events))
    return RaggedArray.build(data.users[keep], data.items[keep], data.n_users, times, events)
