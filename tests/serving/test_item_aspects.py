"""Parts of content: similarities by hand, and weights learned from histories."""

import numpy as np
import pytest

from palate.core.batch import RaggedArray
from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.serving.item_aspects import MIN_PAIRS, ItemAspects, NumberPart, ValuePart, VectorPart

NOBODY = RaggedArray(np.zeros(1, np.int64), np.zeros(0, np.int64))


def values(*rows):
    by_value = {}
    for row, own in enumerate(rows):
        for value in own:
            by_value.setdefault(value, []).append(row)
    return ValuePart.build({value: np.array(at) for value, at in by_value.items()}, len(rows))


def test_values_by_hand():
    part = values(["a", "b"], ["a"], ["b"], [])
    a = b = np.log(4 / 2) + 1e-3
    expected = [1.0, a / np.hypot(a, b), b / np.hypot(a, b), 0.0]
    np.testing.assert_allclose(part.to_all(0), expected, rtol=1e-5)
    np.testing.assert_allclose(part.of_pairs(np.array([0, 1]), np.array([1, 2])), [expected[1], 0], atol=1e-6)
    assert part.present.tolist() == [True, True, True, False]


def test_numbers_by_rank():
    part = NumberPart.build(np.array([1.0, 2.0, np.nan, 1000.0]))
    np.testing.assert_allclose(part.to_all(0)[[0, 1, 3]], [1, 1 - 1 / 3, 1 - 2 / 3], rtol=1e-6)
    assert part.present.tolist() == [True, True, False, True]


def test_vectors_by_cosine():
    raw = np.array([[1, 0], [1, 1], [0, 0]], np.float32)
    features = Features(raw, np.array([True, True, False]))
    part = VectorPart(features, np.array([1, np.sqrt(2), 1e-9], np.float32))
    np.testing.assert_allclose(part.to_all(0)[:2], [1, np.sqrt(0.5)], rtol=1e-6)
    np.testing.assert_allclose(part.of_pairs(np.array([0]), np.array([1])), [np.sqrt(0.5)], rtol=1e-6)


def test_a_part_counts_as_far_as_histories_agree_in_it():
    rng = np.random.default_rng(0)
    n, users = 200, 300
    kind, noise = rng.integers(0, 5, n), rng.integers(0, 5, n)
    taken = [rng.choice(np.flatnonzero(kind == rng.integers(0, 5)), 6).tolist() for _ in range(users)]
    parts = {"kind": values(*([f"k{one}"] for one in kind)), "noise": values(*([f"n{one}"] for one in noise))}
    aspects = ItemAspects(parts, RaggedArray.of(taken))
    assert aspects.weights["kind"] > 0.9 and sum(aspects.weights.values()) == pytest.approx(1)
    similar = np.argsort(-aspects.similarity(0), kind="stable")[:20]
    assert (kind[similar] == kind[0]).all()
    assert users * 6 > MIN_PAIRS


def test_without_histories_all_parts_count_alike_and_what_is_missing_is_average():
    parts = {"one": values(["a"], ["a"], ["b"], []), "two": values([], ["x"], ["y"], ["x"])}
    aspects = ItemAspects(parts, NOBODY)
    assert aspects.weights == {"one": 0.5, "two": 0.5}
    similarity = aspects.similarity(0)
    assert np.nanargmax(similarity) in (0, 1) and np.isnan(similarity[3])
    with pytest.raises(FeatureError, match="no content"):
        ItemAspects({"one": values(["a"], [])}, NOBODY).similarity(1)
