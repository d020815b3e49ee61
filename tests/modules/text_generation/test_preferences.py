import numpy as np
import pytest
import torch
from torch import nn

from palate.modules.text_generation.preferences import PreferenceModel
from palate.modules.text_generation.retrieval import retrieve
from palate.modules.text_generation.topics import TopicModel, word_counts

SIZE, DIM = 14, 8
TEXTS = np.array([[4, 5, 6, 0], [5, 6, 4, 5], [6, 4, 3, 0], [9, 10, 11, 0], [10, 11, 9, 9], [11, 10, 2, 0]])


def test_counts_leave_special_and_unknown_words_out():
    counts = word_counts(torch.tensor([[4, 4, 3, 0, 1, 2, 99], [5, 0, 0, 0, 0, 0, 0]]), 6)
    assert counts.tolist() == [[0, 0, 0, 0, 2, 0], [0, 0, 0, 0, 0, 1]]


def test_topics_tell_two_subjects_apart_and_weigh_rare_words():
    topics = TopicModel(SIZE, 2)
    topics.fit(TEXTS, np.random.default_rng(0))
    shares = topics(torch.from_numpy(np.concatenate([TEXTS, [[4, 9, 0, 0], [13, 1, 0, 0]]])))
    first = int(shares[0].argmax())
    assert (shares[:3, first] > 0.95).all() and (shares[3:6, 1 - first] > 0.95).all()
    assert 0.2 < float(shares[6, first]) < 0.8
    assert shares[7].tolist() == [0, 0]
    assert float(topics.weights[4]) == pytest.approx(np.log(7 / 4)) and float(topics.weights[13]) == 0


def test_the_factorisation_comes_close_to_the_counts():
    topics = TopicModel(SIZE, 2)
    topics.fit(TEXTS, np.random.default_rng(0), rounds=200)
    counts = (word_counts(torch.from_numpy(TEXTS), SIZE) * topics.weights).numpy()
    u, s, vt = np.linalg.svd(counts)
    best = np.linalg.norm(counts - u[:, :2] * s[:2] @ vt[:2])
    basis = topics.words.numpy()
    own = counts - counts @ np.linalg.pinv(basis) @ basis
    assert np.linalg.norm(own) < 1.1 * best


def test_retrieval_keeps_the_texts_that_share_telling_words_in_their_order():
    texts = torch.tensor([[[4, 5, 0], [7, 8, 0], [4, 9, 0], [0, 0, 0], [8, 9, 0]]])
    weights = torch.ones(SIZE)
    kept = retrieve(torch.tensor([[4, 5]]), texts, weights, 2)
    assert kept.any(2)[0].tolist() == [True, False, True, False, False]
    weights[4] = 0.0
    kept = retrieve(torch.tensor([[4, 8]]), texts, weights, 2)
    assert kept.any(2)[0].tolist() == [False, True, False, False, True]
    # of texts that are equally far the newest is kept, and never an empty one
    kept = retrieve(torch.tensor([[13]]), texts, weights, 1)
    assert kept.any(2)[0].tolist() == [False, False, False, False, True]
    assert torch.equal(retrieve(torch.tensor([[4]]), texts, weights, 5), texts)


def test_perspectives_by_hand_and_their_gate():
    torch.manual_seed(0)
    words, topics = nn.Embedding(SIZE, DIM), TopicModel(SIZE, 2)
    topics.fit(TEXTS, np.random.default_rng(0))
    question, states = torch.randn(2, DIM), torch.randn(2, 3, DIM)
    taken, mask = torch.tensor([[4, 5, 4], [0, 0, 0]]), torch.tensor([[True, True, True], [False] * 3])
    alone = {}
    for name in ("knowledge", "aspect", "vocabulary"):
        model = PreferenceModel(words, DIM, topics, [name], gated=True)
        alone[name], weights = model(question, states, mask, taken)
        assert weights.tolist() == [[1], [1]]
        # without a history nothing is known
        assert alone[name][1].abs().max() == 0
        if name == "vocabulary":
            mean = (2 * words.weight[4] + words.weight[5]) / 3
            torch.testing.assert_close(alone[name][0], mean @ model.word.weight.T)
        if name == "aspect":
            torch.testing.assert_close(alone[name][0], topics(taken)[0] @ model.topic_vectors)
        if name == "knowledge":
            scores = (states[0] @ model.query(question[0])) / DIM**0.5
            torch.testing.assert_close(alone[name][0], scores.softmax(0) @ states[0])
    both = PreferenceModel(words, DIM, topics, ["aspect", "vocabulary"], gated=False)
    merged, weights = both(question, states, mask, taken)
    assert weights.unique().tolist() == [0.5]
    expected = (topics(taken) @ both.topic_vectors)[0] / 2 + both.word((2 * words.weight[4] + words.weight[5]) / 3) / 2
    torch.testing.assert_close(merged[0], expected)
    gated = PreferenceModel(words, DIM, topics, ["aspect", "vocabulary"], gated=True)
    one, other = (gated(q, states, mask, taken)[1] for q in (question, question + 1))
    torch.testing.assert_close(one.sum(1), torch.ones(2))
    assert not torch.allclose(one, other)
