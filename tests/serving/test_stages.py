"""Stages: in order, within budget, passed over when late or failing; maximal marginal relevance by hand."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.ranking.mmr import mmr
from palate.serving.snapshot import ResolvedModel
from palate.serving.stages import Pipeline, Slate, Stage, StageRequest, stages

NO_MODEL = ResolvedModel(None, None)


def slate(*rows):
    return Slate(np.array(rows), np.linspace(1, 0, len(rows), dtype=np.float32))


class Fixed(Stage):
    name = "fixed"

    def __init__(self, *rows, name="fixed", wait=None, error=None, budget=5.0):
        self.rows, self.name, self.wait, self.error, self.budget, self.given = rows, name, wait, error, budget, []

    def run(self, resolved, request, before):
        self.given.append(before)
        if self.wait is not None:
            self.wait.wait(10)
        if self.error:
            raise self.error
        return slate(*self.rows)


@pytest.fixture
def run():
    made = []

    def make(*parts, fallback=None, threads=4):
        made.append(Pipeline(parts, fallback or Fixed(9, 8, name="popular"), threads))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


def test_each_stage_gets_the_list_of_the_one_before(run):
    first, second = Fixed(1, 2, 3, name="match"), Fixed(3, 2, 1, name="rank")
    answer = run(first, second)(NO_MODEL, StageRequest(2))
    assert answer.slate.rows.tolist() == [3, 2] and answer.source == "rank"
    assert first.given == [None] and second.given[0].rows.tolist() == [1, 2, 3]
    assert [(name, outcome) for name, _, outcome in answer.timings] == [("match", "ok"), ("rank", "ok")]


@pytest.mark.parametrize("kind", ["late", "failed"])
def test_a_stage_that_does_not_answer_is_passed_over(run, kind):
    release = threading.Event()
    bad = {"late": {"wait": release, "budget": 0.02}, "failed": {"error": ValueError("no")}}[kind]
    try:
        answer = run(Fixed(1, 2, name="match"), Fixed(5, name="rank", **bad), Fixed(2, 1, name="last"))(
            NO_MODEL, StageRequest(5)
        )
        assert answer.slate.rows.tolist() == [2, 1]
        assert [outcome for _, _, outcome in answer.timings] == ["ok", kind, "ok"]
        only = run(Fixed(5, name="match", **bad), Fixed(2, 1, name="last"))(NO_MODEL, StageRequest(5))
        steps = [(name, outcome) for name, _, outcome in only.timings]
        assert steps == [("match", kind), ("popular", "ok"), ("last", "ok")] and only.source == "last"
    finally:
        release.set()


def test_there_is_an_answer_when_every_thread_is_stuck(run):
    release = threading.Event()
    pipeline = run(Fixed(1, name="match", wait=release, budget=0.02), threads=1)
    try:
        assert [pipeline(NO_MODEL, StageRequest(1)).source for _ in range(3)] == ["popular"] * 3
    finally:
        release.set()


def test_a_stage_that_does_not_apply_is_left_out(run):
    idle = Fixed(7, name="idle")
    idle.applies = lambda resolved, request: False
    answer = run(Fixed(1, 2, name="match"), idle)(NO_MODEL, StageRequest(2))
    assert answer.source == "match" and [name for name, *_ in answer.timings] == ["match"]
    answer = run(idle, Fixed(8, 9, name="rank"))(NO_MODEL, StageRequest(2))
    assert answer.source == "rank" and answer.slate.rows.tolist() == [8, 9], "later stages go on from the fallback's"


class Catalog:
    """The part of a snapshot that the sliders read."""

    @property
    def stats(self):
        return self

    novelty = np.array([0, 0, 1, 1], np.float32)
    recency = np.array([0, 1, 0, 1], np.float32)

    def content_vectors(self, rows):
        # two pairs of twins
        return np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)[rows]


def test_the_diversity_slider_reorders_and_at_zero_does_nothing():
    stage = stages.get("diversify")()
    assert not stage.applies(NO_MODEL, StageRequest(4)) and stage.applies(NO_MODEL, StageRequest(4, diversity=0.9))
    assert stage.run(
        ResolvedModel(Catalog(), None), StageRequest(4, diversity=0.9), slate(0, 1, 2, 3)
    ).rows.tolist() == [
        0,
        2,
        1,
        3,
    ]


def test_novelty_and_freshness_boost_by_hand():
    stage = stages.get("boost")()
    assert not stage.applies(NO_MODEL, StageRequest(4, diversity=1.0))
    # scores 1, 2/3, 1/3, 0; half novelty: .5, 1/3, 1/6 + .5, .5
    found = stage.run(ResolvedModel(Catalog(), None), StageRequest(4, novelty=0.5), slate(0, 1, 2, 3))
    assert found.rows.tolist() == [2, 0, 3, 1]
    np.testing.assert_allclose(found.scores, [2 / 3, 1 / 2, 1 / 2, 1 / 3], rtol=1e-6)
    assert stage.run(ResolvedModel(Catalog(), None), StageRequest(4, novelty=1.0), slate(0, 1, 2, 3)).rows.tolist() == [
        2,
        3,
        0,
        1,
    ]
    both = stage.run(ResolvedModel(Catalog(), None), StageRequest(4, novelty=1.0, freshness=1.0), slate(0, 1, 2, 3))
    assert both.rows[0] == 3 and both.scores.tolist() == [1, 0.5, 0.5, 0]


def test_mmr_by_hand():
    relevance = np.array([1.0, 0.9, 0.5, 0.0], np.float32)
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], np.float32)
    # after item 0: .5 * .9 - .5 * .8 = .05, .5 * .5 - 0 = .25, 0 + .5 = .5
    assert mmr(relevance, vectors, 2, 0.5).tolist() == [0, 3]
    # then, nearest of both: .45 - .4 = .05, .25 - 0 = .25
    assert mmr(relevance, vectors, 4, 0.5).tolist() == [0, 3, 2, 1]
    assert mmr(relevance, vectors, 4, 0.0).tolist() == [0, 1, 2, 3]
    assert mmr(relevance[:0], vectors[:0], 3, 0.5).tolist() == []


@given(st.integers(1, 12), st.integers(1, 15), st.floats(0, 1), st.integers(0, 99))
def test_mmr_takes_each_once_and_the_best_first(n, k, diversity, seed):
    rng = np.random.default_rng(seed)
    relevance, vectors = rng.random(n).astype(np.float32), rng.standard_normal((n, 3)).astype(np.float32)
    found = mmr(relevance, vectors, k, diversity)
    assert len(found) == min(k, n) == len(set(found.tolist())) and found[0] == relevance.argmax()
    assert mmr(relevance, vectors, n, diversity)[:k].tolist() == found.tolist(), "a longer list begins like a shorter"
