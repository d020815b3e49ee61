"""Ids of items as words: digits of their row, so that few words name many items."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.text_generation.words import PAD

DIGITS = tuple(f"[{digit}]" for digit in range(10))
NEW = "[NEW]"
"""Stands for an item without a row."""


def digits_needed(items: int) -> int:
    """Digits of the largest row.

    Args:
        items: number of items.
    """
    return len(str(max(items - 1, 0)))


def taken(item: Tensor, history: Tensor, other: Tensor) -> Tensor:
    """Whether items are no negatives of rows: their own item, or one of their history.

    Args:
        item: int64 [B], the item of each row.
        history: int64 [B, N], -1 for none.
        other: int64 [B, n], items to judge.

    Returns:
        bool [B, n].
    """
    return (other == item[:, None]) | (other[..., None] == history[:, None]).any(2)


def digit_words(rows: Tensor, items: int, zero: int, new: int) -> Tensor:
    """Words that name items.

    Args:
        rows: int64 [...]; rows outside 0 .. items - 1 are new items.
        items: number of items with a name.
        zero: id of the word for 0; the other digits follow.
        new: id of the word for a new item, which has one word.

    Returns:
        int64 [..., digits].
    """
    width = digits_needed(items)
    powers = 10 ** torch.arange(width - 1, -1, -1, device=rows.device)
    known = (rows >= 0) & (rows < items)
    words = zero + rows.clamp(min=0)[..., None] // powers % 10
    unnamed = torch.full((width,), PAD, device=rows.device)
    unnamed[0] = new
    return torch.where(known[..., None], words, unnamed)
