"""Stages: in order, within budget, passed over when late or failing; maximal marginal relevance by hand."""

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.models.rerank.mmr import mmr
from palate.serving.stages import Ask, Pipeline, Slate, Stage, stages


def slate(*rows):
    return Slate(np.array(rows), np.linspace(1, 0, len(rows), dtype=np.float32))


class Says(Stage):
    name = "says"

    def __init__(self, *rows, name="says", wait=None, error=None, budget=5.0):
        self.rows, self.name, self.wait, self.error, self.budget, self.given = rows, name, wait, error, budget, []

    def run(self, ask, before):
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
        made.append(Pipeline(parts, fallback or Says(9, 8, name="popular"), threads))
        return made[-1]

    yield make
    for pipeline in made:
        pipeline.close()


def test_each_stage_gets_the_list_before_it(run):
    first, second = Says(1, 2, 3, name="match"), Says(3, 2, 1, name="rank")
    answer = run(first, second)(Ask(2))
    assert answer.slate.rows.tolist() == [3, 2] and answer.said_by == "rank"
    assert first.given == [None] and second.given[0].rows.tolist() == [1, 2, 3]
    assert [(name, verdict) for name, _, verdict in answer.steps] == [("match", "ok"), ("rank", "ok")]


@pytest.mark.parametrize("kind", ["late", "failed"])
def test_a_stage_that_does_not_answer_is_passed_over(run, kind):
    go = threading.Event()
    bad = {"late": {"wait": go, "budget": 0.02}, "failed": {"error": ValueError("no")}}[kind]
    try:
        answer = run(Says(1, 2, name="match"), Says(5, name="rank", **bad), Says(2, 1, name="last"))(Ask(5))
        assert answer.slate.rows.tolist() == [2, 1]
        assert [verdict for _, _, verdict in answer.steps] == ["ok", kind, "ok"]
        only = run(Says(5, name="match", **bad), Says(2, 1, name="last"))(Ask(5))
        assert only.slate.rows.tolist() == [9, 8] and only.said_by == "popular"
        assert [(name, verdict) for name, _, verdict in only.steps] == [("match", kind), ("popular", "ok")]
    finally:
        go.set()


def test_there_is_an_answer_when_every_thread_is_stuck(run):
    go = threading.Event()
    pipeline = run(Says(1, name="match", wait=go, budget=0.02), threads=1)
    try:
        assert [pipeline(Ask(1)).said_by for _ in range(3)] == ["popular"] * 3
    finally:
        go.set()


def test_the_slider_reorders_and_at_rest_does_not():
    # two pairs of twins
    vectors = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    stage = stages.get("diversify")(lambda rows: vectors[rows])
    before = slate(0, 1, 2, 3)
    assert stage.run(Ask(4), before) is before
    assert stage.run(Ask(4, diversity=0.9), before).rows.tolist() == [0, 2, 1, 3]


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
