"""Metrics by group: by hand, by plain loops, and where a group has no answer."""

import doctest
import math

import numpy as np
import pytest

import palate.metrics.grouped
from palate.core.errors import ConfigError, DataError
from palate.metrics.grouped import evaluate_groups
from palate.metrics.rating import group_auc

ALL = ("auc", "log_loss", "mrr", "mrr_mind", "ndcg@2", "ndcg@10", "hit_rate@2")


def test_values_by_hand_in_any_order_of_rows():
    labels = np.array([0, 1, 0, 1, 1, 0])
    scores = np.array([0.9, 0.8, 0.3, 0.1, 0.6, 0.2])
    groups = np.array(["x", "x", "x", "x", "y", "y"])
    order = np.array([4, 2, 0, 5, 3, 1])
    result = evaluate_groups(labels[order], scores[order], groups[order], ALL)
    assert result.groups.tolist() == ["x", "y"] and result.samples.tolist() == [4, 2]
    assert result.positives.tolist() == [2, 1]
    # x ranks: negative, positive, negative, positive
    expected = {
        "auc": [1 / 4, 1],
        "log_loss": [-(math.log(0.1) + math.log(0.8) + math.log(0.7) + math.log(0.1)) / 4, -(math.log(0.6 * 0.8)) / 2],
        "mrr": [1 / 2, 1],
        "mrr_mind": [(1 / 2 + 1 / 4) / 2, 1],
        "ndcg@2": [(1 / math.log2(3)) / (1 + 1 / math.log2(3)), 1],
        "ndcg@10": [(1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3)), 1],
        "hit_rate@2": [1, 1],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(result[name], values, rtol=1e-12, err_msg=name)
        assert result.means()[name] == pytest.approx(np.mean(values))


def by_loops(labels, scores, name, k):
    """One group without ties, as plain as it can be written."""
    ranked = [label for _, label in sorted(zip(scores, labels), reverse=True)]
    if sum(ranked) in (0, len(ranked)):
        return float("nan")
    places = [place for place, label in enumerate(ranked) if label]
    if name == "auc":
        pairs = [(p, n) for p in places for n in range(len(ranked)) if not ranked[n]]
        return sum(p < n for p, n in pairs) / len(pairs)
    if name == "mrr":
        return 1 / (places[0] + 1)
    if name == "mrr_mind":
        return sum(1 / (place + 1) for place in places) / len(places)
    if name == "hit_rate":
        return float(places[0] < k)
    best = sum(1 / math.log2(place + 2) for place in range(min(k, len(places))))
    return sum(1 / math.log2(place + 2) for place in places if place < k) / best


@pytest.mark.parametrize("name", ["auc", "mrr", "mrr_mind", "ndcg@1", "ndcg@5", "hit_rate@1", "hit_rate@5"])
def test_values_of_many_groups_are_those_of_plain_loops(name):
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 400) * 7 - 100
    labels, scores = rng.random(400) < 0.3, rng.permutation(400) / 400
    result = evaluate_groups(labels, scores, groups, [name])
    metric, _, k = name.partition("@")
    expected = [by_loops(labels[groups == g], scores[groups == g], metric, int(k or 0)) for g in result.groups]
    assert 0 < np.isnan(expected).sum() < 30
    np.testing.assert_allclose(result[name], expected, rtol=1e-12)


def test_a_group_with_one_label_has_a_log_loss_only():
    result = evaluate_groups([1, 1, 0, 1], [0.5, 0.5, 0.2, 0.8], [0, 0, 1, 2], ALL)
    for name in ALL:
        assert np.isnan(result[name]).all() != (name == "log_loss"), name
    assert result["log_loss"].tolist() == pytest.approx([math.log(2), -math.log(0.8), -math.log(0.8)])
    assert not result.judged.any() and math.isnan(result.means()["auc"])
    assert list(result) == list(ALL) and len(result) == len(ALL)


def test_ties_rank_by_chance_wherever_the_positives_stand():
    """A constant score, the positive first in every group of four: no metric may see that."""
    labels, groups = np.tile([1, 0, 0, 0], 4000), np.repeat(np.arange(4000), 4)
    result = evaluate_groups(labels, np.zeros(16_000), groups, ("auc", "mrr", "hit_rate@1"))
    assert (result["auc"] == 0.5).all()
    assert result["mrr"].mean() == pytest.approx((1 + 1 / 2 + 1 / 3 + 1 / 4) / 4, abs=0.02)
    assert result["hit_rate@1"].mean() == pytest.approx(1 / 4, abs=0.03)
    again = evaluate_groups(labels, np.ones(16_000), groups, ("mrr",))
    np.testing.assert_array_equal(again["mrr"], result["mrr"])


def test_auc_of_judged_groups_is_the_grouped_auc_with_ties():
    rng = np.random.default_rng(1)
    labels, scores, groups = rng.random(300) < 0.5, rng.integers(0, 3, 300), rng.integers(0, 40, 300)
    result, plain = evaluate_groups(labels, scores, groups, ("auc",)), group_auc(labels, scores, groups)
    np.testing.assert_array_equal(result["auc"][result.judged], plain.auc)
    assert result.groups[result.judged].tolist() == plain.groups.tolist() and plain.skipped == (~result.judged).sum()


@pytest.mark.parametrize(
    ("names", "match"),
    [(["acu"], "did you mean auc"), (["ndcg"], "ndcg@10"), (["ndcg@0"], "cut-off"), (["auc@5"], "use auc")],
)
def test_wrong_names_are_refused(names, match):
    with pytest.raises(ConfigError, match=match):
        evaluate_groups([1, 0], [0.1, 0.2], [0, 0], names)


@pytest.mark.parametrize(
    ("labels", "scores", "groups", "match"),
    [
        ([1, 0], [0.1, 0.2], [0], "groups"),
        ([1, 2], [0.1, 0.2], [0, 0], "neither 0 nor 1"),
        ([1, 0], [0.1, float("nan")], [0, 0], "NaN"),
        ([1, 0], [0.1, 1.2], [0, 0], "outside"),
    ],
)
def test_unusable_rows_are_refused(labels, scores, groups, match):
    with pytest.raises(DataError, match=match):
        evaluate_groups(labels, scores, groups, ["log_loss"])


def test_no_rows_have_no_groups():
    result = evaluate_groups([], [], [])
    assert len(result.groups) == 0 and all(len(values) == 0 for values in result.values())
    assert math.isnan(result.means()["auc"])


def test_log_loss_of_logits():
    logits = np.array([2.0, -1.0, 800.0])
    result = evaluate_groups([1, 0, 0], logits, [0, 0, 1], ["log_loss"], logits=True)
    p = 1 / (1 + np.exp(-logits[:2]))
    np.testing.assert_allclose(result["log_loss"], [-(np.log(p[0]) + np.log(1 - p[1])) / 2, 800])


def test_the_example_holds():
    assert doctest.testmod(palate.metrics.grouped).failed == 0
