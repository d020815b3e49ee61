"""The cache of keys and values: a shared prefix is read once, and scores are those of the plain model."""

import numpy as np
import pytest
import torch

from palate.generation.decoding.sessions import CausalModel, CausalSession, shared_length

PREFIX = list(range(10, 50))
PROMPTS = [[*PREFIX, 60, 61, 62], [*PREFIX, 70], [*PREFIX, 80, 81, 82, 83, 84, 85]]


@pytest.fixture
def model(llama):
    return CausalModel(llama.model)


def _plain(model, tokens):
    with torch.inference_mode():
        return model.model(torch.tensor([tokens])).logits[0, -1].numpy()


def test_scores_of_a_padded_batch_with_a_shared_prefix_are_those_of_each_prompt_alone(model):
    session = CausalSession(model)
    scores = session.start(PROMPTS).numpy()
    np.testing.assert_allclose(scores, [_plain(model, prompt) for prompt in PROMPTS], atol=1e-5)
    # the prefix once, then three rows as long as the longest rest
    assert model.tokens_read == len(PREFIX) + 3 * 6
    scores = session.step([7, 8], [0, 2]).numpy()
    expected = [_plain(model, [*PROMPTS[0], 7]), _plain(model, [*PROMPTS[2], 8])]
    np.testing.assert_allclose(scores, expected, atol=1e-5)
    scores = session.step([9], [1]).numpy()
    np.testing.assert_allclose(scores, [_plain(model, [*PROMPTS[2], 8, 9])], atol=1e-5)


def test_without_a_shared_prefix_the_batch_is_read_whole(model):
    prompts = [[1 + row, *PREFIX[: 20 + row]] for row in range(3)]
    scores = CausalSession(model).start(prompts).numpy()
    np.testing.assert_allclose(scores, [_plain(model, prompt) for prompt in prompts], atol=1e-5)
    assert model.tokens_read == 3 * 23


def test_the_next_call_reads_only_what_is_new(model):
    CausalSession(model).start([PROMPTS[0]])
    before = model.tokens_read
    scores = CausalSession(model).start([PROMPTS[1]]).numpy()
    assert model.tokens_read - before == 1
    np.testing.assert_allclose(scores, [_plain(model, PROMPTS[1])], atol=1e-5)
    before = model.tokens_read
    # the same prompt again: all but its last token is known
    scores = CausalSession(model).start([PROMPTS[1]]).numpy()
    assert model.tokens_read - before == 1
    np.testing.assert_allclose(scores, [_plain(model, PROMPTS[1])], atol=1e-5)
    before = model.tokens_read
    CausalSession(model).start(PROMPTS)
    assert model.tokens_read - before == 1 + 3 * 6


def test_an_answer_in_progress_does_not_change_the_kept_cache(model):
    first = CausalSession(model)
    first.start([PROMPTS[0]])
    for token in (5, 6, 7):
        first.step([token], [0])
    scores = CausalSession(model).start([PROMPTS[2]]).numpy()
    np.testing.assert_allclose(scores, [_plain(model, PROMPTS[2])], atol=1e-5)


def test_the_shared_length():
    assert shared_length([[1, 2, 3], [1, 2], [1, 2, 4]]) == 2
    assert shared_length([[1], [2]]) == 0 and shared_length([[], [2]]) == 0
