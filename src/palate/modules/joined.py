"""Two texts as one row of tokens."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.towers import PAD


def joined(first: Tensor, second: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """[CLS] first [SEP] second [SEP] as ids [B, T], and which words are of the first (1) and of the second (2), [B, T].

    Args:
        first, second: ids int64 [B, L], each [CLS] text [SEP] and padding, or padding alone where there is no text.
        words: first id that is a word.
    """
    # one [CLS] is enough
    second = torch.cat([torch.where(first[:, :1] != PAD, PAD, second[:, :1]), second[:, 1:]], 1)
    ids = torch.cat([first, second], 1)
    part = torch.cat([torch.full_like(first, 1), torch.full_like(second, 2)], 1) * (ids >= words)
    longest = max(int((ids != PAD).sum(1).max()), 1)
    order = (ids == PAD).byte().argsort(dim=1, stable=True)[:, :longest]
    return ids.gather(1, order), part.gather(1, order)
