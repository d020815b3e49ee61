"""Places, rules and spans: rotation by hand, who sees whom, and what is read and written."""

import math

import pytest
import torch

from palate.modules.attention import RotaryAttention, rotate
from palate.modules.seq2seq import Decoder, Encoder, joined, writing_rule
from palate.modules.spans import compact, cut, spans, take_out

PLACES = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [3.0, 1.0]])


def test_rotation_by_hand():
    """Four channels: one pair turns with each coordinate, by one radian a step."""
    x = torch.tensor([1.0, 0.0, 0.0, 2.0]).view(1, 1, 1, 4)
    turned = rotate(x, torch.tensor([[0.5, 0.25]])).flatten()
    expected = [math.cos(0.5), math.sin(0.5), -2 * math.sin(0.25), 2 * math.cos(0.25)]
    assert sorted(turned.tolist()) == pytest.approx(sorted(expected), rel=1e-5)


def test_products_depend_on_differences_of_places_and_tell_rows_from_columns():
    torch.manual_seed(0)
    q, k = torch.randn(2, 1, 1, 1, 16)

    def product(a, b):
        return float((rotate(q, torch.tensor([a])) * rotate(k, torch.tensor([b]))).sum())

    assert product([1.0, 2.0], [3.0, 3.0]) == pytest.approx(product([6.0, 0.0], [8.0, 1.0]), rel=1e-4)
    assert abs(product([0.0, 0.0], [1.0, 0.0]) - product([0.0, 0.0], [0.0, 1.0])) > 1e-3


def test_normalised_queries_and_keys_do_not_feel_the_size_of_weights():
    torch.manual_seed(0)
    x, allowed = torch.randn(1, 4, 8), torch.ones(1, 4, 4, dtype=torch.bool)
    for qk_norm in (True, False):
        attention = RotaryAttention(8, 2, qk_norm)
        before = attention(x, PLACES[None], x, PLACES[None], allowed)
        with torch.no_grad():
            attention.ask.weight *= 10
            attention.ask.bias *= 10
        after = attention(x, PLACES[None], x, PLACES[None], allowed)
        assert torch.allclose(before, after, atol=1e-4) is qk_norm


def test_the_writing_rule_by_hand():
    rule = writing_rule(torch.tensor([[True, True, False, True]]))[0].int().tolist()
    assert rule == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 0, 1]]


def test_what_is_not_allowed_changes_nothing():
    torch.manual_seed(0)
    encoder, decoder = Encoder(16, 2, 4).eval(), Decoder(16, 2, 4).eval()
    x, mask = torch.randn(1, 4, 16), torch.tensor([[True, False, True, True]])
    other = x.clone()
    other[:, 1] = 9.0
    a, b = (encoder((v, mask, PLACES[None])) for v in (x, other))
    assert torch.equal(a[mask], b[mask])
    read = (a, mask, PLACES[None])
    rule = writing_rule(torch.tensor([[True, False, True, True]]))
    first, second = (decoder(v, PLACES[None], rule, read) for v in (x, other))
    assert torch.equal(first[:, [0, 2, 3]], second[:, [0, 2, 3]]) and not torch.equal(first[:, 1], second[:, 1])
    third = decoder(x, PLACES[None], rule, (torch.where(mask[:, :, None], a, 5.0), mask, PLACES[None]))
    assert torch.equal(first, third)
    two = joined([read, read])
    assert two[0].shape == (1, 8, 16) and two[1].sum() == 6


def test_spans_are_read_and_written_by_hand():
    ids = torch.tensor([[2, 5, 6, 7, 8, 3, 0], [2, 9, 3, 0, 0, 0, 0]])
    taken = torch.zeros(2, 7, dtype=torch.bool)
    taken[0, [1, 2, 4]] = True
    taken[1, 1] = True
    read, written = take_out(ids, taken, sentinel=20, end=3)
    assert read.tolist() == [[2, 20, 7, 21, 3], [2, 20, 3, 0, 0]]
    assert written.tolist() == [[20, 5, 6, 21, 8, 3], [20, 9, 3, 0, 0, 0]]


def test_cutting_and_compacting():
    ids = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
    read, written = cut(ids, torch.tensor([3, 1]))
    assert read.tolist() == [[2, 5, 6], [2, 0, 0]] and written.tolist() == [[3, 0], [7, 3]]
    assert compact(ids, torch.zeros(2, 4, dtype=torch.bool)).tolist() == [[0], [0]]


@pytest.mark.parametrize(("share", "length"), [(0.15, 3), (0.5, 8)])
def test_spans_cover_their_share_in_runs(share, length):
    torch.manual_seed(0)
    eligible = torch.ones(200, 300, dtype=torch.bool)
    eligible[:, 0] = False
    eligible[0, 2:] = False
    found = spans(eligible, share, length)
    assert abs(float(found[1:].float().mean()) - share) < 0.03
    assert not found[:, 0].any() and found[0].tolist() == [False, True] + [False] * 298
    starts = found[1:, 1:] & ~found[1:, :-1]
    runs = found[1:].sum() / starts.sum()
    assert runs > length * 0.9
