"""Index tokens that name one of several pictures: candidates, soft targets, and their place in a text."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from palate.modules.text_generation.words import PAD

Place = Literal["last", "first"]


def shuffled_candidates(own: Tensor, most: int) -> Tensor:
    """The picture of each row among those of other rows, in random order; draws from torch's global generator.

    Args:
        own: [B, d].
        most: pictures a row at most.

    Returns:
        [B, min(most, B), d].
    """
    m = min(most, len(own))
    others = torch.stack([own.roll(shift, 0) for shift in range(m)], 1)
    order = torch.rand(len(own), m, device=own.device).argsort(1)
    return others.gather(1, order[..., None].expand_as(others))


def soft_targets(pictures: Tensor, present: Tensor, reference: Tensor, temperature: float) -> Tensor:
    """Target probabilities of candidates: softmax(cosine with the reference / temperature).

    Args:
        pictures: [B, m, d].
        present: bool [B, m].
        reference: [B, d].
        temperature: 0 puts all on the most similar one.

    Returns:
        [B, m].
    """
    likeness = F.cosine_similarity(pictures, reference[:, None], dim=2).masked_fill(~present, -torch.inf)
    if temperature:
        return (likeness / temperature).softmax(1)
    return F.one_hot(likeness.argmax(1), likeness.shape[1]).to(likeness.dtype)


def insert_index(target: Tensor, index: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """Put an index token into each target.

    Args:
        target: int64 [B, T], each closed by ``END``.
        index: int64 [B].
        place: ``last`` is before ``END``.

    Returns:
        int64 [B, T + 1], and where the tokens stand, int64 [B].
    """
    if place == "first":
        return torch.cat([index[:, None], target], 1), torch.zeros_like(index)
    at = (target != PAD).sum(1) - 1
    longer = F.pad(target, (0, 1), value=PAD)
    longer = longer.scatter(1, at[:, None] + 1, longer.gather(1, at[:, None]))
    return longer.scatter(1, at[:, None], index[:, None]), at
