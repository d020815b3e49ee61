"""Two texts as one row: order, borders, and texts that are missing."""

import torch

from palate.modules.masking import mask_words
from palate.modules.token_ids import concat_texts


def test_two_texts_in_a_row():
    first = torch.tensor([[2, 7, 3, 0], [2, 8, 9, 3], [0, 0, 0, 0], [2, 7, 3, 0], [0, 0, 0, 0]])
    second = torch.tensor([[2, 5, 6, 3], [2, 6, 3, 0], [2, 5, 3, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    ids, part = concat_texts(first, second, 5)
    assert ids.tolist() == [[2, 7, 3, 5, 6, 3], [2, 8, 9, 3, 6, 3], [2, 5, 3, 0, 0, 0], [2, 7, 3, 0, 0, 0], [0] * 6]
    assert part.tolist() == [
        [0, 1, 0, 2, 2, 0], [0, 1, 1, 0, 2, 0], [0, 2, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0], [0] * 6,
    ]  # fmt: skip
    assert concat_texts(first[4:], second[4:], 5)[0].tolist() == [[0]]


def test_only_words_are_masked():
    torch.manual_seed(0)
    ids = torch.tensor([[2, 7, 8, 3, 0], [2, 3, 0, 0, 0]]).repeat(50, 1)
    shown, chosen = mask_words(ids, 0.5, 4, (5, 9))
    assert not chosen[ids < 5].any() and chosen[::2].any(1).all()
    assert torch.equal(shown[~chosen], ids[~chosen]) and (shown[chosen] >= 4).all() and (shown[chosen] == 4).any()
