"""The distribution of one token."""

import numpy as np

from palate.generation.decoding.sampling import draw, log_probability, streams_for, token_probabilities

LOGITS = np.log([0.5, 0.3, 0.15, 0.05])


def test_temperature_top_p_and_constraint_by_hand():
    np.testing.assert_allclose(token_probabilities(LOGITS, 1, 1), [0.5, 0.3, 0.15, 0.05])
    squares = np.asarray([0.25, 0.09, 0.0225, 0.0025])
    np.testing.assert_allclose(token_probabilities(LOGITS, 0.5, 1), squares / squares.sum())
    # 0.5 + 0.3 reach 0.7, so the third is not needed
    np.testing.assert_allclose(token_probabilities(LOGITS, 1, 0.7), [0.625, 0.375, 0, 0])
    allowed = np.asarray([False, True, False, True])
    np.testing.assert_allclose(token_probabilities(LOGITS, 1, 1, allowed), [0, 6 / 7, 0, 1 / 7])
    assert token_probabilities(LOGITS, 0, 1, allowed).tolist() == [0, 1, 0, 0]
    assert token_probabilities(np.zeros(3), 0, 1).tolist() == [1, 0, 0]


def test_draws_follow_the_probabilities_and_never_leave_them():
    stream, probabilities = np.random.default_rng(0), np.asarray([0.0, 0.2, 0.0, 0.8, 0.0])
    drawn = np.bincount([draw(probabilities, stream) for _ in range(4000)], minlength=5)
    assert drawn[[0, 2, 4]].sum() == 0 and abs(drawn[1] / 4000 - 0.2) < 0.03


def test_the_probability_of_a_token_is_that_of_the_model_itself():
    assert np.isclose(log_probability(LOGITS + 7, 1), np.log(0.3))


def test_a_prompt_has_its_own_random_numbers_wherever_it_stands():
    a, b, again = streams_for(5, [[1, 2], [3], [1, 2]])
    (alone,) = streams_for(5, [[3]])
    (other,) = streams_for(6, [[3]])
    first = [stream.random() for stream in (a, again, b, alone, other)]
    assert first[2] == first[3] and len(set(first)) == 4
