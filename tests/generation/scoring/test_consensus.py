"""Choice by consensus against hand-computed likeness."""

import pytest

from palate.core.errors import DataError
from palate.generation.scoring import consensus, rouge

CAT, DOG, OTHER = "the cat sat on the mat", "the dog sat on a mat", "quite another story"


def test_consensus_is_the_mean_likeness_to_the_others():
    # CAT and DOG share 4 of 6 and 6 words, in the same order; OTHER shares none
    assert consensus([CAT, DOG, OTHER]) == pytest.approx([1 / 3, 1 / 3, 0])


def test_likeness_is_the_mean_of_rouge_1_and_rouge_l():
    texts = ["a warm story of love and loss", "Of loss and love, a story: warm!"]
    scores = rouge(texts[:1], texts[1:])
    assert scores["rouge1"][0] != scores["rougeL"][0]
    assert consensus(texts) == pytest.approx([(scores["rouge1"][0] + scores["rougeL"][0]) / 2] * 2)


def test_a_weight_moves_the_choice_towards_a_candidate():
    # the first is half like either of the others, which have nothing in common
    texts = ["one two three four", "one two five six", "three four seven eight"]
    even = consensus(texts)
    assert even.argmax() == 0
    assert even[1] == pytest.approx(even[2])
    heavy = consensus(texts, [1.0, 1.0, 3.0])
    assert heavy == pytest.approx([(0.5 + 3 * 0.5) / 4, 0.5 / 4, 0.5 / 2])


def test_of_nothing_to_compare_with_the_score_is_zero():
    assert consensus([]).shape == (0,)
    assert consensus(["alone"]).tolist() == [0.0]
    assert consensus(["", ""]).tolist() == [0.0, 0.0]


def test_each_candidate_needs_its_weight():
    with pytest.raises(DataError, match="1 weights for 2 candidates"):
        consensus([CAT, DOG], [1.0])
