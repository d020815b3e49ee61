"""Speculative decoding gives the target's own distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from transformers import LlamaConfig, LlamaForCausalLM

from palate.generation.decoding.sampling import token_probabilities
from palate.generation.decoding.sessions import CausalModel
from palate.generation.decoding.speculative import LookupDraft, ModelDraft, RewindingModel, speculate

N, END = 5, 4


class Table:
    """A model whose next token depends on the last one."""

    def __init__(self, seed):
        self.table = np.random.default_rng(seed).normal(0, 1.5, (N, N))

    def scores(self, tokens, last):
        return self.table[np.asarray(tokens[len(tokens) - last :])]


class Certain:
    """Proposes the same tokens again and again, for certain."""

    def propose(self, tokens, n, distribution, stream):
        return [1, 2, 1, 0][:n], [None] * min(n, 4)


def _expected(table, temperature, top_p, max_tokens):
    """Probability of each answer, by enumeration."""
    cells = {(): 1.0}
    for _ in range(max_tokens):
        longer = {}
        for answer, probability in cells.items():
            if answer and answer[-1] == END:
                longer[answer] = longer.get(answer, 0) + probability
                continue
            p = token_probabilities(table.table[answer[-1] if answer else 0], temperature, top_p)
            for token in np.flatnonzero(p):
                longer[(*answer, int(token))] = probability * p[token]
        cells = longer
    return cells


@pytest.mark.parametrize(
    ("draft", "temperature", "top_p"),
    [
        (ModelDraft(Table(1)), 1.0, 1.0),
        (ModelDraft(Table(1)), 0.6, 1.0),
        (ModelDraft(Table(1)), 1.3, 0.8),
        (Certain(), 1.0, 1.0),
        (Certain(), 1.3, 0.8),
        (LookupDraft(), 1.0, 1.0),
    ],
)
def test_answers_have_the_distribution_of_the_target(draft, temperature, top_p):
    target, stream, counts, draws, accepted = Table(0), np.random.default_rng(7), {}, 2000, 0
    for _ in range(draws):
        result = speculate(
            target, draft, [2, 1, 0, 2, 3, 0], n=3, max_tokens=3, temperature=temperature, top_p=top_p, end_ids=[END],
            stream=stream,
        )  # fmt: skip
        answer = (*result.tokens, *([END] if result.ended else []))
        counts[answer] = counts.get(answer, 0) + 1
        accepted += result.accepted
    expected = _expected(target, temperature, top_p, 3)
    assert counts.keys() <= expected.keys()
    assert accepted > draws / 10
    order = sorted(expected, key=expected.get)
    # rare answers share one cell, so that each has some five expected
    rare = [answer for answer in order if expected[answer] * draws < 5]
    often = [answer for answer in order if answer not in rare]
    seen = [counts.get(answer, 0) for answer in often] + [sum(counts.get(answer, 0) for answer in rare)]
    wanted = [expected[answer] * draws for answer in often] + [sum(expected[answer] for answer in rare) * draws]
    if not rare:
        seen, wanted = seen[:-1], wanted[:-1]
    assert chisquare(seen, np.asarray(wanted) * draws / sum(wanted)).pvalue > 1e-3


def test_a_wrong_rule_of_acceptance_would_be_seen():
    """Keeping every proposed token gives the draft's distribution, which the test above tells from the target's."""
    target, draft = _expected(Table(0), 1.0, 1.0, 3), _expected(Table(1), 1.0, 1.0, 3)
    wanted = np.asarray([target[answer] for answer in target]) * 2000
    seen = np.asarray([draft.get(answer, 0) for answer in target]) * 2000
    assert chisquare(seen, wanted * seen.sum() / wanted.sum()).pvalue < 1e-9


@pytest.fixture(scope="module")
def networks():
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "intermediate_size": 24, "max_position_embeddings": 128}
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(vocab_size=40, num_hidden_layers=1, **sizes)).eval()
        with torch.no_grad():
            model.lm_head.weight.normal_(0, 1)
        made.append(model)
    return made


def _greedy(model, prompt, n):
    text = list(prompt)
    for _ in range(n):
        with torch.inference_mode():
            text.append(int(model(torch.tensor([text])).logits[0, -1].argmax()))
    return text[len(prompt) :]


def test_greedy_answers_are_exactly_those_of_the_target(networks):
    target, small = networks
    for start in range(2):
        prompt = [start, 5, 6, 7, 8, start, 5, 6]
        expected = _greedy(target, prompt, 24)
        for draft in (ModelDraft(RewindingModel(CausalModel(small))), LookupDraft()):
            model = CausalModel(target)
            result = speculate(
                RewindingModel(model), draft, prompt, n=4, max_tokens=24, temperature=0, top_p=1, end_ids=[],
                stream=np.random.default_rng(0),
            )  # fmt: skip
            assert result.tokens == expected


def test_a_draft_that_is_right_saves_passes_through_the_target(networks):
    target, _ = networks
    model = CausalModel(target)
    calls = []
    forward, model.forward = model.forward, lambda ids, *rest: calls.append(ids.shape[1]) or forward(ids, *rest)
    result = speculate(
        RewindingModel(model), ModelDraft(RewindingModel(CausalModel(target))), [1, 2, 3], n=4, max_tokens=20,
        temperature=0.8, top_p=0.9, end_ids=[], stream=np.random.default_rng(3),
    )  # fmt: skip
    # one pass for the prompt, then five tokens a pass
    assert len(result.tokens) == 20 and result.accepted == result.proposed == 16 and len(calls) == 1 + 4


def test_a_text_that_ends_the_answer_ends_it_within_what_was_proposed():
    result = speculate(
        Table(0), Certain(), [0], n=4, max_tokens=50, temperature=1.0, top_p=1.0, end_ids=[],
        stream=np.random.default_rng(0), is_over=lambda tokens: tokens[-1] == 2,
    )  # fmt: skip
    assert result.tokens.count(2) == 1 and result.tokens[-1] == 2 and result.ended
