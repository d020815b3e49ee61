"""The three masks of the Q-Former by hand, and the independence of its states that follows."""

import pytest
import torch

from palate.modules.attention import Attention
from palate.modules.qformer import QFormer, QFormerImageTower, QFormerTextTower, attention_mask
from palate.modules.stream import TokenEmbedding

HAND = {
    "apart": ["11000", "11000", "00110", "00110", "00111"],
    "together": ["11110", "11110", "11110", "11110", "11111"],
    "causal": ["11000", "11000", "11100", "11110", "11111"],
}


def parts(seed=0):
    torch.manual_seed(seed)
    former = QFormer(8, queries=3, layers=3, heads=2).eval()
    words = TokenEmbedding(20, 8, 6).eval()
    ids = torch.tensor([[2, 9, 7, 3, 0, 0], [2, 7, 8, 11, 3, 0]])
    return former, words, ids, torch.randn(2, 4, 8)


@pytest.mark.parametrize("pattern", HAND)
def test_masks_by_hand(pattern):
    """Two queries, two words, one padding, which attends as a word would but is attended to by itself alone."""
    found = attention_mask(pattern, 2, torch.tensor([[True, True, False]]))[0]
    assert ["".join(str(int(x)) for x in row) for row in found] == HAND[pattern]


def test_attention_by_hand():
    torch.manual_seed(0)
    layer = Attention(4, 1)
    x, y = torch.randn(1, 2, 4), torch.randn(1, 3, 4)
    allowed = torch.tensor([[[True, True, False], [False, False, True]]])
    k, v = layer.tell(y).chunk(2, 2)
    weights = (layer.ask(x) @ k.transpose(1, 2) / 2).masked_fill(~allowed, -torch.inf).softmax(2)
    torch.testing.assert_close(layer(x, y, allowed), layer.out(weights @ v))
    torch.testing.assert_close(layer(x, y, allowed)[0, 1], layer.out(v[0, 2]))


def test_apart_is_what_each_modality_gives_alone():
    former, words, ids, picture = parts()
    with torch.inference_mode():
        asked, said = former(picture, words(ids), "apart")
        torch.testing.assert_close(asked, former(picture, None)[0], atol=1e-5, rtol=0)
        torch.testing.assert_close(said, former(None, words(ids))[1], atol=1e-5, rtol=0)
        together, spoken = former(picture, words(ids), "together")
    assert (together - asked).abs().max() > 1e-3 and (spoken - said).abs().max() > 1e-3


def test_a_word_to_be_written_sees_the_queries_and_nothing_later():
    former, words, ids, picture = parts()
    later = ids.clone()
    later[:, 3] = 15
    with torch.inference_mode():
        asked, said = former(picture, words(ids), "causal")
        other_asked, other = former(picture, words(later), "causal")
        _, elsewhere = former(picture + 1, words(ids), "causal")
    torch.testing.assert_close(said[:, :3], other[:, :3], atol=1e-5, rtol=0)
    torch.testing.assert_close(asked, other_asked, atol=1e-5, rtol=0)
    assert (said[:, 3] - other[:, 3]).abs().max() > 1e-3
    assert (said[:, 0] - elsewhere[:, 0]).abs().max() > 1e-4


@pytest.mark.parametrize("pattern", HAND)
def test_padding_changes_nothing(pattern):
    former, words, ids, picture = parts()
    with torch.inference_mode():
        asked, said = former(picture[:1], words(ids[:1]), pattern)
        cut_asked, cut = former(picture[:1], words(ids[:1, :4]), pattern)
    torch.testing.assert_close(asked, cut_asked, atol=1e-5, rtol=0)
    torch.testing.assert_close(said[:, :4], cut, atol=1e-5, rtol=0)


def test_every_second_block_reads_the_picture():
    assert [block.cross is not None for block in parts()[0].blocks] == [True, False, True]


def test_neither_picture_nor_words_is_refused():
    with pytest.raises(ValueError, match="a picture, words, or both"):
        parts()[0](None, None)


def test_towers_give_the_queries_and_the_first_word():
    torch.manual_seed(0)
    image = QFormerImageTower(8, {"queries": 3, "layers": 1, "heads": 2}, {"kind": "image", "dim": 8}).eval()
    text = QFormerTextTower(8, 20, 6, {"queries": 3, "layers": 1, "heads": 2}).eval()
    ids = torch.tensor([[2, 9, 3, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
    with torch.inference_mode():
        tokens, mask = image(torch.randn(2, 3, 32, 32))
        said, there = text(ids)
    assert tokens.shape == (2, 3, 8) and mask.all()
    assert said.shape == (2, 1, 8) and there.tolist() == [[True], [False]] and torch.isfinite(said).all()
