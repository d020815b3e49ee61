import itertools
import math

import numpy as np
import torch

from palate.modules.text_generation.decoding import Decoder, beam_search, end_with, repeated_words, sample
from palate.modules.text_generation.words import END, PAD

A, B = 4, 5
# probabilities of END, A, B after START, A, B: greedy takes A first, the best text is B B
TABLE = {2: (0.0, 0.6, 0.4), A: (0.4, 0.3, 0.3), B: (0.05, 0.05, 0.9)}


def decoder(rows: int) -> Decoder:
    table = torch.zeros(6, 6)
    for word, (end, a, b) in TABLE.items():
        table[word, [END, A, B]] = torch.tensor([end, a, b])

    def step(last, state):
        return table[last].log(), (state[0] + 1,)

    return Decoder(step, (torch.zeros(rows, 1),))


def exhaustive(longest: int, penalty: float) -> tuple[list[int], float]:
    best = ([], -math.inf, -math.inf)
    for n in range(longest + 1):
        for words in itertools.product((A, B), repeat=n):
            score, last = 0.0, 2
            for word in (*words, END):
                # at the limit only the end may follow
                p = 1.0 if word == END and len(words) == longest else TABLE[last][(END, A, B).index(word)]
                score, last = score + (math.log(p) if p else -math.inf), word
            rate = score / (n + 1) ** penalty
            best = max(best, ([*words, END], rate, score), key=lambda one: one[1])
    return best[0], best[2]


def test_a_wide_beam_finds_the_best_text():
    for penalty in (0.0, 1.0):
        words, score = beam_search(decoder(2 * 8), torch.tensor([3, 2]), 8, penalty)
        for row, longest in enumerate((3, 2)):
            expected, log_probability = exhaustive(longest, penalty)
            assert [word for word in words[row].tolist() if word != PAD] == expected
            assert math.isclose(float(score[row]), log_probability, rel_tol=1e-5)


def test_a_beam_of_one_is_greedy_and_limits_hold():
    words, _ = beam_search(decoder(3), torch.tensor([0, 1, 5]))
    assert words.tolist()[0][:1] == [END] and words.tolist()[1][:2] == [A, END]
    assert words.tolist()[2] == [A, END, PAD, PAD, PAD, PAD][: words.shape[1]]


def test_draws_follow_the_distribution_and_the_numbers():
    n = 4000
    uniform = torch.from_numpy(np.random.default_rng(0).random((n, 4)))
    limits = torch.full((n,), 3)
    words = sample(decoder(n), limits, uniform)
    assert torch.equal(words, sample(decoder(n), limits, uniform))
    share = (words[:, 0] == A).double().mean()
    assert abs(float(share) - 0.6) < 0.03
    after = words[words[:, 0] == A][:, 1]
    assert abs(float((after == END).double().mean()) - 0.4) < 0.04
    assert not ((words == 1) | (words == 2)).any()


def test_banned_words_are_never_written():
    one = decoder(4)
    words, _ = beam_search(Decoder(one.step, one.state, banned=(A,)), torch.tensor([3]), 4)
    assert A not in words[0].tolist()


def test_runs_of_words_are_not_repeated():
    words = torch.tensor([[A, B, A, B, A], [A, A, A, A, A], [B, A, B, B, A]])
    banned = repeated_words(words, 3, 6)
    assert [row.nonzero()[:, 0].tolist() for row in banned] == [[B], [A], [B]]
    assert not repeated_words(words[:, :2], 3, 6).any()
    one = decoder(1)
    free, kept = (
        beam_search(Decoder(one.step, one.state, banned=(A,), no_repeat=n), torch.tensor([9]), 1) for n in (0, 2)
    )
    written = [[word for word in found[0][0].tolist() if word == B] for found in (free, kept)]
    assert [len(one) for one in written] == [9, 2]


def test_marks_behind_a_text_end_it():
    one = decoder(1)
    # after A the end has .4, and B, as a mark, .3: together more than another A
    words, score = beam_search(end_with(Decoder(one.step, one.state, banned=(B,)), (B,)), torch.tensor([5]))
    assert words[0, :2].tolist() == [A, END]
    assert math.isclose(float(score[0]), math.log(0.6) + math.log(0.7), rel_tol=1e-5)
