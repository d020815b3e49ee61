"""Stages: in order, within budget, passed over when late or failing; maximal marginal relevance by hand."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import FeatureError
from palate.ranking.mmr import mmr, mmr_lists
from palate.serving.snapshot import ResolvedModel
from palate.serving.stages import ListKey, Pipeline, Relevance, Slate, Stage, StageRequest, stages
from palate.serving.stages.last_lists import LastLists
from palate.serving.stages.strength import even_weight

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


def test_threads_that_are_left_behind_keep_nobody_waiting(run, monkeypatch):
    monkeypatch.setattr("palate.serving.stages.pipeline.WAIT_SECONDS", 60.0)
    release = threading.Event()
    pipeline = run(Fixed(1, name="match", budget=0.02, wait=release), threads=1)
    try:
        # would wait for a minute, were the stuck thread not known
        assert [pipeline(NO_MODEL, StageRequest(1)).fallback for _ in range(2)] == ["late"] * 2
    finally:
        release.set()
    deadline = time.monotonic() + 20
    while pipeline(NO_MODEL, StageRequest(1)).fallback is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert pipeline(NO_MODEL, StageRequest(1)).slate.rows.tolist() == [1], "free again"


def test_a_budget_does_not_count_the_wait_for_a_thread(run):
    """Each takes less than the budget, all one after another more."""

    class Slow(Fixed):
        def run(self, resolved, request, before):
            time.sleep(0.1)
            return slate(1)

    pipeline, found = run(Slow(name="match", budget=0.35), threads=1), []
    threads = [
        threading.Thread(target=lambda: found.append(pipeline(NO_MODEL, StageRequest(1)).fallback)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [None] * 6


class Active:
    """The part of a snapshot that a kept list is checked against."""

    active = np.ones(10, bool)


def test_a_late_stage_gives_the_last_list_as_it_may_be_shown_now(run):
    model, key = ResolvedModel(Active(), None), ListKey("ada", "main", "run")
    match = Fixed(1, 2, 3, 4, name="match")
    pipeline = run(match)
    assert pipeline(model, StageRequest(9, list_key=key)).fallback is None
    pipeline(model, StageRequest(9, list_key=ListKey("ben", "main", "run"), is_narrowed=True))
    match.error = TimeoutError()
    hidden, allowed = np.array([2]), np.arange(10) != 3
    answer = pipeline(model, StageRequest(9, list_key=key, hidden=hidden, allowed=allowed))
    assert (answer.slate.rows.tolist(), answer.source, answer.fallback) == ([1, 4], "cached", "late")
    for other in (ListKey("ben", "main", "run"), ListKey("ada", "other", "run"), ListKey("ada", "main", "new"), None):
        answer = pipeline(model, StageRequest(9, list_key=other))
        assert (answer.source, answer.fallback) == ("popular", "late"), "of another user, model or run"
    nothing = StageRequest(9, list_key=key, allowed=np.zeros(10, bool))
    assert pipeline(model, nothing).source == "popular"
    search = StageRequest(9, list_key=key, relevance=lambda: Relevance(np.ones(10, np.float32)))
    answer = pipeline(model, search)
    assert (answer.source, answer.fallback, len(answer.slate.rows)) == ("none", "late", 0), "others are no answer"
    match.error = ValueError("no")
    assert pipeline(model, StageRequest(9, list_key=key)).fallback == "failed"


def test_last_lists_are_few_and_short():
    lists = LastLists(size=2)
    a, b, c = (ListKey(user, "main", "run") for user in "abc")
    lists.put(a, slate(1, 2, 3))
    lists.put(a, slate(2, 9))
    assert lists.get(a).rows.tolist() == [2, 9, 1, 3], "a shorter list goes on with the former one"
    lists.put(b, slate(*range(300)))
    assert len(lists.get(b).rows) == 200
    lists.get(a)
    lists.put(c, slate(1))
    assert lists.get(b) is None and len(lists) == 2, "the one that was not asked for longest goes"
    lists.drop(lambda user: user == "a")
    assert lists.get(a) is None and lists.get(c) is not None


@pytest.mark.parametrize("known, reason", [(False, "new_user"), (True, "unknown_to_model")])
def test_why_the_first_stage_does_not_apply(run, known, reason):
    idle = Fixed(7, name="idle")
    idle.applies = lambda resolved, request: False
    history = np.array([1] if known else [], np.int64)
    assert run(idle)(NO_MODEL, StageRequest(2, history=history)).fallback == reason


@given(st.integers(1, 8), st.integers(0, 99), st.floats(0.05, 20), st.sampled_from([0.0, 1.0]))
def test_each_tenth_of_a_slider_does_as_much(k, seed, power, agreement):
    """However the scores lie, the number of replaced items grows with the slider in even steps."""
    rng, n = np.random.default_rng(seed), 5 * k + 20
    relevance = np.sort(rng.random(n) ** power)[::-1]
    boost = rng.random(n) ** (1 / power) + agreement * relevance

    def order(weight):
        return (-((1 - weight) * relevance + weight * boost)).argsort(kind="stable")

    def replaced(weight):
        return k - np.isin(order(0.0)[:k], order(weight)[:k]).sum()

    assert even_weight(order, k, n, 0.0) == 0 and even_weight(order, k, n, 1.0) == 1
    for tenth in range(1, 10):
        wanted = tenth / 10 * replaced(1.0)
        weight = even_weight(order, k, n, tenth / 10)
        assert replaced(weight) >= wanted, "enough"
        assert weight <= 1 / 128 or replaced(weight - 1 / 128) < wanted, "and no more than the smallest step allows"
    assert even_weight(order, n, n, 0.3) == 0.3, "where nothing can be replaced, only the order changes"


def test_diversity_for_a_long_list():
    """200 of 600 candidates in 10 groups: the list begins with one of each group."""
    groups = np.tile(np.repeat(np.arange(10), 6), 10)
    vectors = np.eye(10, 300, dtype=np.float32)[groups]

    class Grouped:
        stats = type("Stats", (), {"content_vectors": staticmethod(lambda rows: vectors[rows])})

    before = Slate(np.arange(600), np.linspace(1, 0, 600, dtype=np.float32))
    stage = stages.get("diversify")()
    found = stage.run(ResolvedModel(Grouped(), None), StageRequest(200, diversity=1.0), before).rows
    assert len(found) == 200 == len(set(found.tolist())) and found[0] == 0
    assert sorted(groups[found[:10]]) == list(range(10))
    assert stage.budget_for(StageRequest(200)) > 5 * stage.budget_for(StageRequest(10)), "longer lists take longer"
    assert StageRequest(200, diversity=0.1).n_candidates == 600 and StageRequest(10, diversity=0.1).n_candidates == 200


@given(st.integers(1, 12), st.integers(1, 15), st.floats(0, 1), st.integers(0, 99))
def test_one_list_is_reordered_as_many_are(n, k, diversity, seed):
    rng = np.random.default_rng(seed)
    relevance, vectors = rng.random(n).astype(np.float32), rng.standard_normal((n, 3)).astype(np.float32)
    many = mmr_lists(relevance[None], vectors[None], k, diversity)[0]
    assert mmr(relevance, vectors, k, diversity).tolist() == many.tolist()


def test_a_budget_counts_work_and_not_the_time_that_other_work_takes(run):
    """A stage that only waits has more time than one that works, but not for ever."""

    class Waiting(Fixed):
        def run(self, resolved, request, before):
            time.sleep(self.seconds)
            return slate(1)

    class Working(Fixed):
        def run(self, resolved, request, before):
            end = time.thread_time() + self.seconds
            while time.thread_time() < end:
                pass
            return slate(1)

    for kind, seconds, reason in ((Waiting, 0.2, None), (Waiting, 2.0, "late"), (Working, 0.5, "late")):
        stage = kind(name="match", budget=0.15)
        stage.seconds = seconds
        assert run(stage)(NO_MODEL, StageRequest(1)).fallback == reason


def test_a_stage_that_ends_at_its_deadline_gives_its_list(run, monkeypatch):
    """The wait is over a moment before the stage is; its list is there when the budget is looked at."""
    from concurrent.futures import Future

    pipeline = run(Fixed(1, 2, name="match", budget=0.02))
    waited = Future.result

    def late(task, timeout=None):
        made = waited(task, 20)
        if timeout is not None:
            raise TimeoutError
        return made

    monkeypatch.setattr(Future, "result", late)
    answer = pipeline(NO_MODEL, StageRequest(2))
    assert answer.fallback is None and answer.slate.rows.tolist() == [1, 2]


def test_a_search_that_cannot_be_answered_says_why_to_the_caller(run):
    """What is compared is the caller's to mend; in a list the same fault is passed over."""
    pipeline = run(Fixed(1, name="match", error=FeatureError("no word is known")))
    assert pipeline(NO_MODEL, StageRequest(2)).fallback == "failed"
    with pytest.raises(FeatureError, match="no word"):
        pipeline(NO_MODEL, StageRequest(2, relevance=lambda: Relevance(np.ones(3, np.float32))))


def test_a_stage_is_fast_for_lists_whatever_a_search_takes(run, monkeypatch):
    monkeypatch.setattr("palate.serving.stages.pipeline.FAST", 0.2)

    class Searching(Fixed):
        def run(self, resolved, request, before):
            if request.is_search:
                time.sleep(0.25)
            return slate(1)

    pipeline, search = run(Searching(name="match")), StageRequest(1, relevance=lambda: Relevance(np.ones(3)))
    for request in (StageRequest(1), search):
        assert not pipeline.is_fast(NO_MODEL, request), "nothing is known of it"
        pipeline.warm_up(NO_MODEL, request)
    assert pipeline.is_fast(NO_MODEL, StageRequest(1)) and not pipeline.is_fast(NO_MODEL, search)


def test_warming_up_runs_each_stage_outside_its_budget_and_survives_failures(run, caplog):
    class FirstIsSlow(Fixed):
        def run(self, resolved, request, before):
            time.sleep(0.0 if self.given else 0.2)
            return super().run(resolved, request, before)

    first, bad = FirstIsSlow(1, 2, name="match", budget=0.05), Fixed(name="rank", error=ValueError("no"))
    last = Fixed(3, name="last")
    pipeline = run(first, bad, last)
    pipeline.warm_up(NO_MODEL, StageRequest(2))
    assert len(first.given) == 2 and last.given[0].rows.tolist() == [1, 2] and "rank failed" in caplog.text
    assert pipeline.is_fast(NO_MODEL, StageRequest(2)) is False, "the failing one has no time yet"
    assert pipeline(NO_MODEL, StageRequest(2)).timings[0].outcome == "ok"
