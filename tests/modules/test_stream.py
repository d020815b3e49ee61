"""Masking, the single stream and its readers: what is hidden cannot be known, what is absent changes nothing."""

import torch
from torch.nn import Identity

from palate.core.tuning import TuningSpec
from palate.modules.masking import apply_mask, sample_mask, sample_mismatched_pairs
from palate.modules.network import Network
from palate.modules.regions import Regions, grid_boxes
from palate.modules.stream import SingleModalityStream, SingleStream, TokenEmbedding, WordHead


def pictures(n=2):
    return torch.randn(n, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_every_row_hides_something_but_only_what_may_be_hidden():
    torch.manual_seed(0)
    eligible = torch.rand(400, 20) < 0.5
    eligible[0] = False
    chosen = sample_mask(eligible, 0.15)
    assert not (chosen & ~eligible).any()
    assert chosen[eligible.any(1)].any(1).all() and not chosen[0].any()
    assert 0.15 <= chosen.sum() / eligible.sum() < 0.22


def test_hidden_words_are_replaced_as_bert_does():
    torch.manual_seed(0)
    ids = torch.full((200, 50), 7)
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    chosen[:, :25] = True
    shown = apply_mask(ids, chosen, 4, (8, 20))
    assert (shown[~chosen] == 7).all()
    hidden = shown[chosen]
    for found, share in ((hidden == 4, 0.8), (hidden == 7, 0.1), (hidden >= 8, 0.1)):
        assert abs(found.float().mean() - share) < 0.02


def test_half_of_the_pairs_lose_one_side():
    torch.manual_seed(0)
    left, right = sample_mismatched_pairs(1000, torch.device("cpu"))
    own = torch.arange(1000)
    assert abs((left != right).float().mean() - 0.5) < 0.05
    assert ((left == own) | (right == own)).all()
    assert abs((left != own).float().mean() - 0.25) < 0.05


def test_boxes_by_hand():
    boxes = grid_boxes(4)
    torch.testing.assert_close(boxes[1], torch.tensor([0.5, 0, 1, 0.5, 0.5, 0.5, 0.25]))
    torch.testing.assert_close(boxes[2], torch.tensor([0, 0.5, 0.5, 1, 0.5, 0.5, 0.25]))


def test_pixels_of_a_hidden_region_reach_no_token():
    torch.manual_seed(0)
    regions = Regions(8).eval()
    hidden = torch.tensor([[True, False, False, False], [False, False, True, True]])
    seen = pictures()
    other = seen.clone()
    other[0, :, :16, :16] += 5
    other[1, :, 16:, :] -= 5
    with torch.inference_mode():
        a, mask = regions(seen, hidden)
        b, _ = regions(other, hidden)
        c, _ = regions(other)
    assert a.shape == (2, 4, 8) and mask.all()
    torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert (b - c).abs().max() > 0.01


def test_what_is_absent_changes_nothing_and_one_modality_stands_alone():
    torch.manual_seed(0)
    network = SingleModalityStream({"kind": "words", "vocabulary": 20, "dim": 8, "length": 6}, 8, 1, 2).eval()
    assert isinstance(network.reader, TokenEmbedding) and isinstance(network.stream, SingleStream)
    ids = torch.tensor([[2, 9, 3, 0, 0, 0], [2, 7, 8, 11, 3, 0]])
    image = torch.randn(2, 4, 8)
    with torch.inference_mode():
        alone, mask = network(ids)
        words, _ = network.stream([network.reader(ids), (image, torch.zeros(2, 4, dtype=torch.bool))])
        cut, _ = network(ids[:1, :3])
        together, _ = network.stream([network.reader(ids), (image, torch.ones(2, 4, dtype=torch.bool))])
        nothing, none = network(torch.zeros(1, 6))
    torch.testing.assert_close(alone[mask], words[mask], atol=1e-5, rtol=0)
    torch.testing.assert_close(alone[:1, :3], cut, atol=1e-5, rtol=0)
    assert (together - words).abs().max() > 1e-3
    assert torch.isfinite(nothing).all() and not none.any()


def test_words_are_guessed_from_the_table_of_words():
    head = WordHead(4, 5)
    table = torch.randn(6, 4)
    states = torch.randn(3, 4)
    torch.testing.assert_close(head(states, table), head.transform(states) @ table[:5].T)


def test_a_stream_over_words_can_stop_between_layers():
    torch.manual_seed(0)
    words = {"kind": "words", "vocabulary": 20, "dim": 8, "length": 5}
    made = SingleModalityStream(words, 8, 2, 2).eval()
    ids = torch.tensor([[5, 6, 7, 0, 0], [8, 0, 0, 0, 0], [0, 0, 0, 0, 0]])
    whole = made.stream([made.reader(ids)])[0]
    torch.testing.assert_close(made(ids)[0], whole)
    for kind, amount, trained in (("partial", 1, 1), ("frozen", 0, 0), ("full", 0, 2)):
        network = Network(SingleModalityStream(words, 8, 2, 2), Identity(), "it").prepare(
            TuningSpec(kind, amount), (5,)
        )
        layers = network.stages.blocks()
        assert sum(all(p.requires_grad for p in layer.parameters()) for layer in layers) == trained
    network = Network(made, Identity(), "it").prepare(TuningSpec("prompt", 3), (5,)).eval()
    with torch.no_grad():
        values, mask = network.tokens((ids, None))
    assert values.shape == (3, 5, 8) and mask.tolist() == (ids != 0).tolist()
    assert float((values[:2] - whole[:2]).detach()[mask[:2]].abs().max()) > 1e-4
