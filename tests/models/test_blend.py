"""Blend: weights searched where they count, apart for warm and cold; a member that cannot score is left out."""

from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
import tiny_view
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_view import RUN

from palate.core.batch import RaggedArray, UserBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError, UnsupportedError
from palate.data.views import EvaluationQueries
from palate.metrics.held_out import validate
from palate.models.match.blend import Blend, BlendScorer, by_slice
from palate.models.match.blend.by_slice import choose_weights
from palate.models.match.blend.candidates import candidate_scores, combine, standardise
from palate.models.match.blend.weights import list_metric, search_weights, shrinkage, soft_metric
from palate.models.match.popularity import Popularity
from palate.ranking.scorer import PaddedScorer, Scorer

USERS, ITEMS = 40, 30


class Fixed(Scorer):
    """Scores that are given; ``able`` says for which items they mean something."""

    def __init__(self, table, able=None):
        super().__init__(table.shape[1])
        self.table = torch.as_tensor(table, dtype=torch.float32)
        self.able = np.ones(self.n_items, bool) if able is None else able

    def score(self, users, items=None):
        found = self.table[torch.as_tensor(users.rows)]
        return found if items is None else found[:, torch.as_tensor(items)]

    def scorable(self):
        return self.able


def batch():
    return UserBatch(np.arange(USERS), RaggedArray.of([[0]] * USERS))


def questions(rng):
    truth = np.stack([rng.choice(np.arange(1, ITEMS), 2, replace=False) for _ in range(USERS)])
    held = EvaluationQueries(batch(), RaggedArray.of(np.sort(truth).tolist()), RaggedArray.of([[0]] * USERS))
    good = rng.normal(size=(USERS, ITEMS))
    np.put_along_axis(good, truth, good.max() + 1, axis=1)
    return held, good, rng.normal(size=(USERS, ITEMS))


def searched(scorers, held, items):
    known = [torch.arange(ITEMS) for _ in scorers]
    (found,) = candidate_scores(scorers, known, held, [items])
    found = found.of_users_with_relevant()
    weights, value = search_weights(found.scores, soft_metric("recall@2", found.relevant, found.counts))
    return weights.tolist(), value


def test_the_search_finds_the_member_that_knows():
    held, good, noise = questions(np.random.default_rng(0))
    for scorers, best in (([Fixed(good), Fixed(noise)], 0), ([Fixed(noise), Fixed(1000 * good)], 1)):
        weights, value = searched(scorers, held, np.ones(ITEMS, bool))
        assert value == pytest.approx((1 / 1.25 + 1 / 2) / 2) and int(np.argmax(weights)) == best
        assert sum(weights) == pytest.approx(1, abs=1e-3) and min(weights) >= 0


def test_soft_recall_reads_every_rank():
    combined = torch.tensor([[4.0, 3.0, 2.0, -torch.inf], [1.0, 5.0, 5.0, -torch.inf]])
    relevant = torch.tensor([[False, True, True, False], [False, True, False, False]])
    counts = torch.tensor([3, 1])
    at = {rank: 1 / (1 + (rank / 2) ** 2) for rank in (2, 3)}
    expected = [(at[2] + at[3]) / 3, at[2]]
    assert soft_metric("recall@2", relevant, counts)(combined).tolist() == pytest.approx(expected)
    expected[0] *= 3 / 2
    assert soft_metric("capped_recall@2", relevant, counts)(combined).tolist() == pytest.approx(expected)


def noisy_members(seed, users, cold):
    """Members of chance quality, one without scores of cold items, as popularity."""
    rng = np.random.default_rng(seed)
    train = tiny_view.view(cold=cold)
    asked = [
        [item, train.n_items - 1] if cold and user % 2 else [item]
        for user, item in enumerate(train.valid.relevant.items)
    ]
    relevant = RaggedArray.of(asked)
    tables = [rng.normal(size=(train.n_users, train.n_items)) for _ in range(3)]
    for table in tables:
        table[relevant.owners(), relevant.items] += rng.uniform(0, 3)
    scorers = [Fixed(tables[0], train.warm_items), Fixed(tables[1]), Fixed(tables[2])]
    valid = train.valid
    rows = rng.choice(train.n_users, users, replace=False)
    asked = EvaluationQueries(valid.users.take(rows), relevant.take(rows), valid.exclude.take(rows))
    return replace(train, valid=asked), scorers


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 24), st.integers(0, 4))
def test_the_blend_is_never_below_a_member_on_validation(seed, users, cold):
    train, scorers = noisy_members(seed, users, cold)
    known = [torch.from_numpy(np.flatnonzero(s.scorable() & train.warm_items)) for s in scorers]
    with mock.patch.object(by_slice, "MIN_POSITIVES", 5):
        found = choose_weights(scorers, ["a", "b", "c"], known, train, RUN, None, None, None)
    offsets = torch.where(torch.from_numpy(train.warm_items), 0.0, found.offset)
    warm = torch.from_numpy(train.warm_items)
    weights = (torch.tensor(found.warm), torch.tensor(found.cold))
    blend = BlendScorer(scorers, known, *weights, warm, offsets=offsets)
    assert validate(blend, train.valid, "recall@3") == pytest.approx(found.validation["blend"])
    for name, value in found.validation.items():
        assert found.validation["blend"] >= value - 1e-9, name
    assert found.validation["b"] == pytest.approx(validate(scorers[1], train.valid, "recall@3"))


def test_few_validation_positives_leave_the_weights_equal_unless_a_member_alone_is_better():
    train, scorers = noisy_members(0, 20, 0)
    known = [torch.arange(train.n_items)] * 3
    found = choose_weights(scorers, ["a", "b", "c"], known, train, RUN, None, None, None)
    assert len(set(found.warm)) == 1 or found.validation["blend"] >= max(found.validation.values())
    nothing = choose_weights(scorers, ["a", "b", "c"], known, replace(train, valid=None), RUN, None, None, None)
    assert nothing.warm == nothing.cold == [1 / 3] * 3 and nothing.validation == {}


def test_list_metric_counts_as_lists_do():
    combined = torch.tensor([[4.0, 4.0, 2.0], [1.0, 5.0, -torch.inf]])
    relevant = torch.tensor([[False, True, True], [True, False, False]])
    value = list_metric("recall@1", relevant, torch.tensor([2, 1]))
    assert value(combined).tolist() == [0, 0]
    assert list_metric("recall@2", relevant, torch.tensor([2, 1]))(combined).tolist() == [0.5, 1]


def test_a_gain_within_its_standard_error_is_taken_back():
    assert shrinkage(torch.tensor([1.0, -1.0], dtype=torch.float64)) == 0
    assert shrinkage(torch.tensor([1.0, 0.0], dtype=torch.float64)) == pytest.approx(0.5)
    assert shrinkage(torch.full((9,), 0.1, dtype=torch.float64)) == pytest.approx(1)


def test_items_that_nobody_took_have_an_offset_and_added_ones_none():
    train = tiny_view.view(cold=3)
    model = Blend(
        members=("ease_content",), settings={"ease_content": {"l2": 3.0}}, cold_offset=-2.0,
        warm_weights=(1.0,), cold_weights=(1.0,),
    )  # fmt: skip
    model.setup(train, RUN)
    model.solve(train, RUN)
    model._catalogue = train.n_items - 1
    assert model.scorer().offsets.tolist() == [0.0] * 17 + [-2.0, -2.0, 0.0]


def test_popularity_on_a_logarithmic_scale_keeps_its_order_and_knows_no_cold_item():
    train = tiny_view.view(cold=2)
    counts, logs = Popularity(), Popularity(log=True)
    for model in (counts, logs):
        model.setup(train, RUN)
        model.solve(train, RUN)
    users = train.user_batch(np.arange(2))
    torch.testing.assert_close(logs.scorer().score(users), counts.scorer().score(users).log1p())
    assert logs.scorer().scorable().tolist() == [True] * 18 + [False] * 2


def test_the_search_mixes_members_that_know_different_things():
    held, good, noise = questions(np.random.default_rng(1))
    half = np.arange(ITEMS) % 2 == 0
    even, odd = np.where(half, good, noise), np.where(half, noise, good)
    everything = np.ones(ITEMS, bool)
    weights, mixed = searched([Fixed(even), Fixed(odd)], held, everything)
    alone = [searched([Fixed(table)], held, everything)[1] for table in (even, odd)]
    assert min(weights) > 0.1 and mixed > max(alone)


def test_warm_and_cold_items_have_weights_of_their_own():
    held, good, noise = questions(np.random.default_rng(2))
    warm = np.arange(ITEMS) < 15
    first, second = Fixed(np.where(warm, good, noise)), Fixed(np.where(warm, noise, good))
    assert int(np.argmax(searched([first, second], held, warm)[0])) == 0
    assert int(np.argmax(searched([first, second], held, ~warm)[0])) == 1


def test_candidates_hold_every_relevant_item_any_member_ranks():
    held, good, noise = questions(np.random.default_rng(3))
    known = [torch.arange(ITEMS)] * 2
    (found,) = candidate_scores([Fixed(good), Fixed(noise)], known, held, [np.ones(ITEMS, bool)])
    scores, relevant, counts = found.scores, found.relevant, found.counts
    assert relevant.sum(1).tolist() == counts.tolist() == [2] * USERS
    filled = scores.isfinite().all(-1)
    assert filled.sum(1).max() <= ITEMS - 1, "what is excluded is no candidate, and none counts twice"


def test_standardised_scores_do_not_change_when_items_are_added():
    table = torch.randn(4, 10, generator=torch.Generator().manual_seed(0))
    known = torch.arange(8)
    grown = torch.cat([table, torch.full((4, 5), 1e4)], dim=1)
    torch.testing.assert_close(standardise(grown, known)[:, :10], standardise(table, known))
    found = standardise(table, known)[:, known]
    torch.testing.assert_close(found.mean(1), torch.zeros(4), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.std(1, correction=0), torch.ones(4))
    torch.testing.assert_close(standardise(table * 7 + 3, known), standardise(table, known))


def test_combine_takes_the_mean_over_members_that_have_a_score():
    nan = torch.nan
    scores = torch.tensor([[1.0, 3.0], [1.0, nan], [nan, nan], [-torch.inf, -torch.inf]])
    weights = torch.tensor([0.25, 0.75])
    assert combine(scores, weights).tolist() == [2.5, 1.0, -torch.inf, -torch.inf]
    assert combine(scores, torch.tensor([0.0, 1.0])).tolist() == [3.0, -torch.inf, -torch.inf, -torch.inf]


def test_a_member_that_cannot_score_an_item_does_not_pull_it_down():
    rng = np.random.default_rng(4)
    one, two = rng.normal(size=(USERS, ITEMS)), rng.normal(size=(USERS, ITEMS))
    able = np.arange(ITEMS) < 20
    known = [torch.arange(20), torch.arange(20)]
    half = torch.tensor([0.5, 0.5])
    warm = torch.from_numpy(able)
    blend = BlendScorer([Fixed(one), Fixed(two, able)], known, half, half, warm)
    scores = blend.score(batch())
    z = [standardise(torch.as_tensor(t, dtype=torch.float32), known[0]) for t in (one, two)]
    torch.testing.assert_close(scores[:, 20:], z[0][:, 20:])
    torch.testing.assert_close(scores[:, :20], (z[0] + z[1])[:, :20] / 2)
    assert blend.scorable().all()
    alone = BlendScorer([Fixed(one), Fixed(two, able)], known, half, torch.tensor([0.0, 1.0]), warm)
    assert alone.scorable().tolist() == able.tolist()


def test_blend_weights_of_warm_and_cold_items_apply_to_them():
    rng = np.random.default_rng(5)
    tables = [rng.normal(size=(USERS, ITEMS)) for _ in range(2)]
    warm = torch.arange(ITEMS) < 10
    known = [torch.arange(10)] * 2
    blend = BlendScorer([Fixed(t) for t in tables], known, torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), warm)
    z = [standardise(torch.as_tensor(t, dtype=torch.float32), known[0]) for t in tables]
    torch.testing.assert_close(blend.score(batch()), torch.where(warm, z[0], z[1]))
    torch.testing.assert_close(blend.score(batch(), np.array([12, 3])), blend.score(batch())[:, [12, 3]])


def test_a_padded_member_scores_no_added_item():
    padded = PaddedScorer(Fixed(np.ones((USERS, 4))), 6)
    assert padded.score(batch()).shape == (USERS, 6) and padded.scorable().tolist() == [True] * 4 + [False] * 2


def test_all_weights_zero_is_refused():
    nothing = torch.zeros(1)
    blend = BlendScorer([Fixed(np.ones((USERS, 3)))], [torch.arange(3)], nothing, nothing, torch.ones(3, dtype=bool))
    with pytest.raises(ConfigError, match="weight 0"):
        blend.score(batch())


def test_a_blend_of_two_closed_forms_is_solved_selected_and_refitted():
    train = tiny_view.view(absent=())
    settings = {"ease": {"l2": 3.0}, "ease_content": {"l2": 3.0, "prior": 0.2, "widen": 0.0, "power": 0.5, "k": 3}}
    model = Blend(members=("ease", "ease_content"), settings=settings, cold_weights=(0.0, 1.0))
    model.setup(train, RunContext())
    assert model.solve(train, RUN)
    chosen = model.selected_settings()
    assert chosen["members"] == ("ease", "ease_content") and chosen["cold_weights"] == (0.0, 1.0)
    assert sum(chosen["warm_weights"]) == pytest.approx(1)
    again = model.clone(chosen)
    refit = replace(train, valid=None)
    again.setup(refit, RunContext())
    assert again.solve(refit, RUN)
    users = train.user_batch(np.arange(4))
    torch.testing.assert_close(again.scorer().score(users), model.scorer().score(users))


def test_a_member_that_only_lists_is_refused_by_name():
    model = Blend(members=("ease", "mmr"), settings={"mmr": {"base": "bpr:dim=4;epochs=1"}})
    train = tiny_view.view()
    model.setup(train, RUN)
    with pytest.raises(UnsupportedError, match="mmr lists items"):
        model.solve(train, RUN)
