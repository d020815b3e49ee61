"""Rotary positions, masks and spans: rotation by hand, attention masks, inputs and targets of a denoiser."""

import math

import pytest
import torch

from palate.modules.attention import RotaryAttention, rotate
from palate.modules.seq2seq import Decoder, Encoder, concat_tokens, decoder_mask
from palate.modules.token_ids import compact, corrupt_spans, sample_spans, split_at

POSITIONS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])


def test_rotation_by_hand():
    """Four channels: one pair turns with each coordinate, by one radian a step."""
    x = torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4)
    rotated = rotate(x, torch.tensor([[0.5, 0.25]])).flatten()
    expected = [math.cos(0.5), math.sin(0.5), -2 * math.sin(0.25), 2 * math.cos(0.25)]
    assert sorted(rotated.tolist()) == pytest.approx(sorted(expected), rel=1e-5)


def test_products_depend_on_differences_of_positions_and_tell_rows_from_columns():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16)

    def product(a, b):
        return float((rotate(q, torch.tensor([a])) * rotate(k, torch.tensor([b]))).sum())

    assert product([1.0, 2.0], [3.0, 3.0]) == pytest.approx(product([6.0, 0.0], [8.0, 1.0]), rel=1e-4)
    assert abs(product([0.0, 0.0], [1.0, 0.0]) - product([0.0, 0.0], [0.0, 1.0])) > 1e-3


def test_normalised_queries_and_keys_are_independent_of_the_scale_of_weights():
    torch.manual_seed(0)
    x, allowed = torch.randn(1, 4, 8), torch.ones(1, 4, 4, dtype=torch.bool)
    for qk_norm in (True, False):
        attention = RotaryAttention(8, 2, qk_norm)
        before = attention(x, POSITIONS[None], x, POSITIONS[None], allowed)
        with torch.no_grad():
            attention.ask.weight *= 10
            attention.ask.bias *= 10
        after = attention(x, POSITIONS[None], x, POSITIONS[None], allowed)
        assert torch.allclose(before, after, atol=1e-4) is qk_norm


def test_the_decoder_mask_by_hand():
    allowed = decoder_mask(torch.tensor([[True, True, False, True]]))[0].int().tolist()
    assert allowed == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def test_what_is_not_allowed_changes_nothing():
    torch.manual_seed(0)
    encoder, decoder = Encoder(16, 2, 4).eval(), Decoder(16, 2, 4).eval()
    x, mask = torch.randn(1, 4, 16), torch.tensor([[True, False, True, True]])
    other = x.clone()
    other[:, 1] = 9.0
    a, b = (encoder((v, mask, POSITIONS[None])) for v in (x, other))
    assert torch.equal(a[mask], b[mask])
    encoded = (a, mask, POSITIONS[None])
    allowed = decoder_mask(torch.tensor([[True, False, True, True]]))
    first, second = (decoder(v, POSITIONS[None], allowed, encoded) for v in (x, other))
    assert torch.equal(first[:, [0, 2, 3]], second[:, [0, 2, 3]]) and not torch.equal(first[:, 1], second[:, 1])
    third = decoder(x, POSITIONS[None], allowed, (torch.where(mask[:, :, None], a, 5.0), mask, POSITIONS[None]))
    assert torch.equal(first, third)
    two = concat_tokens([encoded, encoded])
    assert two[0].shape == (1, 8, 16) and two[1].sum() == 6


def test_inputs_and_targets_of_spans_by_hand():
    ids = torch.tensor([[2, 5, 6, 7, 8, 3, 0], [2, 9, 3, 0, 0, 0, 0]])
    taken = torch.zeros(2, 7, dtype=torch.bool)
    taken[0, [1, 2, 4]] = True
    taken[1, 1] = True
    inputs, target = corrupt_spans(ids, taken, sentinel=20, end=3)
    assert inputs.tolist() == [[2, 20, 7, 21, 3], [2, 20, 3, 0, 0]]
    assert target.tolist() == [[20, 5, 6, 21, 8, 3], [20, 9, 3, 0, 0, 0]]


def test_splitting_and_compacting():
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    inputs, target = split_at(ids, torch.tensor([3, 1]))
    assert inputs.tolist() == [[2, 5, 6], [2, 0, 0]] and target.tolist() == [[3, 0], [7, 3]]
    assert compact(ids, torch.zeros(2, 4, dtype=torch.bool)).tolist() == [[0], [0]]


@pytest.mark.parametrize(("share", "length"), [(0.15, 3), (0.5, 8)])
def test_spans_cover_their_share_in_runs(share, length):
    torch.manual_seed(0)
    eligible = torch.ones(200, 300, dtype=torch.bool)
    eligible[:, 0] = False
    eligible[0, 2:] = False
    sampled = sample_spans(eligible, share, length)
    assert abs(float(sampled[1:].float().mean()) - share) < 0.03
    assert not sampled[:, 0].any() and sampled[0].tolist() == [False, True] + [False] * 298
    starts = sampled[1:, 1:] & ~sampled[1:, :-1]
    runs = sampled[1:].sum() / starts.sum()
    assert runs > length * 0.9
