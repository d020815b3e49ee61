"""Metrics of labels by hand, and against their definitions on random ones."""

from __future__ import annotations

import numpy as np
import pytest

from palate.metrics.labels import item_average_precision, item_f1, macro_average_precision, macro_f1, micro_f1

TRUTH = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 0]], bool)
SCORES = np.array([[0.9, 0.2, 0.6], [0.3, 0.8, 0.1], [0.4, 0.5, 0.2]])
CHOSEN = SCORES >= 0.5


def test_the_case_by_hand():
    # item 0 is given labels 0 and 2, item 1 label 1, item 2 label 1: two right of four given and four true
    np.testing.assert_allclose(item_f1(CHOSEN, TRUTH), [2 / 4, 1, 0])
    assert micro_f1(CHOSEN, TRUTH).mean() == pytest.approx(2 * 2 / (4 + 4))
    # label 0: 1 given, 2 true, 1 right; label 1: 2, 2, 1; label 2: 1 given, none true
    assert macro_f1(CHOSEN, TRUTH).mean() == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    # item 0 ranks labels 0 2 1, item 1 ranks 1 0 2, item 2 ranks 1 0 2
    np.testing.assert_allclose(item_average_precision(SCORES, TRUTH), [(1 + 2 / 3) / 2, 1, 1 / 2])
    # label 0: items 0, 2 rank first and second; label 1: items 1, 0 rank first and third; label 2 is of no item
    assert macro_average_precision(SCORES, TRUTH).mean() == pytest.approx((1 + (1 + 2 / 3) / 2) / 2)


def test_equal_scores_share_their_place():
    scores, truth = np.array([[0.5], [0.5], [0.5], [0.1]]), np.array([[1], [0], [0], [1]], bool)
    assert macro_average_precision(scores, truth).mean() == pytest.approx((1 / 3 + 2 / 4) / 2)


def test_labels_of_no_item_are_left_out_and_nothing_to_judge_is_nan():
    truth, none = np.array([[1, 0], [1, 0]], bool), np.zeros((2, 2), bool)
    assert macro_f1(truth, truth).mean() == macro_average_precision(truth * 1.0, truth).mean() == 1
    for values in (micro_f1(none, none), macro_f1(none, none), macro_average_precision(none * 1.0, none)):
        assert np.isnan(values).all() and len(values) == 2
    assert np.isnan(item_average_precision(none * 1.0, none)).all()
    assert len(micro_f1(none[:0], none[:0])) == len(item_average_precision(none[:0] * 1.0, none[:0])) == 0


def test_values_of_items_have_the_metric_as_mean():
    rng = np.random.default_rng(0)
    truth, scores = rng.random((200, 7)) < 0.3, rng.random((200, 7)) + 0.0
    chosen = scores > 0.6
    right, given, true = (chosen & truth).sum(0), chosen.sum(0), truth.sum(0)
    assert micro_f1(chosen, truth).mean() == pytest.approx(2 * right.sum() / (given.sum() + true.sum()))
    assert macro_f1(chosen, truth).mean() == pytest.approx((2 * right / (given + true)).mean())
    order = np.argsort(-scores, axis=0)
    ranked = np.take_along_axis(truth, order, 0)
    precision = np.cumsum(ranked, 0) / np.arange(1, 201)[:, None]
    assert macro_average_precision(scores, truth).mean() == pytest.approx(((precision * ranked).sum(0) / true).mean())


def test_the_spread_of_values_is_that_of_the_metric_over_samples():
    rng = np.random.default_rng(1)
    truth = rng.random((300, 4)) < 0.3
    chosen = np.where(rng.random((300, 4)) < 0.7, truth, ~truth)
    rows = rng.integers(0, 300, (2000, 300))
    for metric in (micro_f1, macro_f1):
        sampled = np.std([metric(chosen[own], truth[own]).mean() for own in rows])
        assert metric(chosen, truth).std() / np.sqrt(300) == pytest.approx(sampled, rel=0.1)
