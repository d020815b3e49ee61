"""What a ranker learns from, and how it orders, the lists of a matcher."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from palate.batches.impressions import impression_batch
from palate.contracts import Ranker
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.data.events import Events
from palate.data.histories import Histories
from palate.data.views import RankingQueries, TrainingTables, TrainView
from palate.features.counters import Asked
from palate.models.rerank.shared.held_lists import labels_of
from palate.ranking.scorer import Scorer

SCORE, RANK = "match_score", "match_rank"
"""Context fields of a candidate: the matcher's score within its list, and the place it gave."""
PARTIAL = 256
"""Lists at once."""


def candidate_context(scores: NDArray[np.float32], known: NDArray[np.bool_]) -> dict[str, NDArray[np.float32]]:
    """Context of candidates, float32 [lists * n] each: z-score within the list, and log(1 + place).

    Args:
        scores: float32 [lists, n], best first.
        known: bool [lists, n], False where a list is shorter.
    """
    count = np.maximum(known.sum(1, keepdims=True), 1)
    filled = np.where(known, scores, 0).astype(np.float64)
    mean = filled.sum(1, keepdims=True) / count
    deviation = np.sqrt((np.square(filled - mean) * known).sum(1, keepdims=True) / count)
    scaled = (filled - mean) / np.where(deviation > 0, deviation, 1)
    places = np.broadcast_to(np.log1p(np.arange(scores.shape[1])), scores.shape)
    return {name: values.astype(np.float32).ravel() for name, values in ((SCORE, scaled), (RANK, places))}


def positive_events(users: IntArray, items: IntArray, times: IntArray | None) -> Events:
    """Positives as events of no impression; without times all are of one moment.

    Args:
        users: int64 [n].
        items: int64 [n].
        times: int64 [n] or None.
    """
    ones, nowhere = np.ones(len(users), np.float32), np.full(len(users), -1)
    when = np.zeros(len(users), np.int64) if times is None else times
    unknown = np.zeros(len(users), np.float32)
    return Events(users, items, ones, when, impression=nowhere, context={SCORE: unknown, RANK: unknown})


def candidate_events(
    rows: IntArray, ids: IntArray, scores: NDArray[np.float32], labels: NDArray[np.float32], time: int
) -> Events:
    """Candidates as events: an impression a list, all of one moment.

    Args:
        rows: int64 [lists], rows of the users.
        ids: int64 [lists, n], -1 where a list is shorter.
        scores: float32 [lists, n].
        labels: float32 [lists, n].
        time: of all.
    """
    known = ids >= 0
    there = known.ravel()
    users = np.repeat(rows, ids.shape[1])[there]
    lists = np.repeat(np.arange(len(rows)), ids.shape[1])[there]
    context = {name: values[there] for name, values in candidate_context(scores, known).items()}
    when = np.full(len(users), time, np.int64)
    return Events(users, ids.ravel()[there], labels.ravel()[there], when, impression=lists, context=context)


def joined(first: Events, second: Events) -> Events:
    """Events one after another.

    Args:
        first: of no impression.
        second: with impressions.
    """
    assert first.time is not None and second.time is not None
    assert first.impression is not None and second.impression is not None
    return Events(
        np.concatenate([first.user, second.user]),
        np.concatenate([first.item, second.item]),
        np.concatenate([first.label, second.label]),
        np.concatenate([first.time, second.time]),
        impression=np.concatenate([first.impression, second.impression]),
        context={name: np.concatenate([first.context[name], second.context[name]]) for name in (SCORE, RANK)},
    )


def learning_view(
    train: TrainView, kept: TrainView, held: RaggedArray, first: Scorer, match: Scorer, depth: int
) -> TrainView:
    """The view from which a ranker of lists learns, and on which it is validated.

    Lists of users with held positives, by a matcher that did not see these, are the training events; lists of the
    matcher that serves, for the validation questions, are the validation events. Lists without a positive teach nothing
    and are left out.

    Args:
        train: of the whole funnel.
        kept: without the held positives.
        held: these, ``n_users`` lists.
        first: scorer fitted on ``kept``.
        match: scorer fitted on ``train``.
        depth: candidates of a list.
    """
    users = np.flatnonzero(held.lengths > 0)
    batch = kept.user_batch(users)
    ids, scores = first.topk(
        batch, depth, batch.history, train.visible_items if not train.visible_items.all() else None
    )
    labels = labels_of(ids, held.take(users), train.n_items)
    past = positive_events(kept.users, kept.items, kept.times)
    moment = int(past.time.max(initial=0)) + 1 if past.time is not None else 1
    some = labels.any(1)
    events = joined(past, candidate_events(users[some], ids[some], scores[some], labels[some], moment))
    valid = train.valid
    queries: RankingQueries | None = None
    if valid is not None and len(valid):
        ids, scores = match.topk(valid.users, depth, valid.exclude, valid.candidates)
        labels = labels_of(ids, valid.relevant, train.n_items)
        some = labels.any(1)
        known = positive_events(train.users, train.items, train.times)
        later = int(known.time.max(initial=0)) + 1 if known.time is not None else 1
        asked = candidate_events(valid.users.rows[some], ids[some], scores[some], labels[some], later)
        assert asked.impression is not None
        histories = Histories.build(known, train.n_users)
        queries = RankingQueries(
            asked, asked.user, asked.impression, histories, train.users_table, train.items_table, known
        )
    tables = TrainingTables(
        lambda: (events, events.label > 0),
        lambda: train.users_table,
        lambda: train.items_table,
        None if queries is None else lambda: queries,
    )
    return replace(train, users=kept.users, items=kept.items, times=kept.times, valid=None, tables=tables)


def ranked(
    ranker: Ranker, users: UserBatch, ids: IntArray, scores: NDArray[np.float32]
) -> tuple[IntArray, NDArray[np.float32]]:
    """Lists in the order of a ranker, with its scores; places without a candidate stay last.

    Args:
        ranker: fitted.
        users: whose lists they are.
        ids: int64 [lists, n], -1 where a list is shorter.
        scores: float32 [lists, n], of the matcher.
    """
    known = ids >= 0
    owners = np.repeat(np.arange(len(ids)), ids.shape[1]).reshape(ids.shape)[known]
    rows, items = users.rows[owners], ids[known]
    context = {name: values[known.ravel()] for name, values in candidate_context(scores, known).items()}
    events = Events(rows, items, np.zeros(len(items), np.float32), context=context)
    encoded = ranker.tables.schema.encode_context(events)
    history = users.history.newest(ranker.config.longest)
    counters = ranker.counters_now(Asked(rows, items))
    batch = impression_batch(events, rows, owners, history, encoded, counters)
    with torch.inference_mode():
        logits = ranker.logits(batch.to(ranker.device))["label"].float().cpu().numpy()
    values = np.full(ids.shape, -np.inf, np.float32)
    values[known] = logits
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(ids, order, 1), np.take_along_axis(values, order, 1)
