"""Masked tokens and mismatched pairs: targets of prediction, and the corrupted inputs shown instead."""

from __future__ import annotations

import torch
from torch import Tensor


def sample_mask(eligible: Tensor, share: float) -> Tensor:
    """Choose each eligible token with probability ``share``, and at least one in every row that has any.

    Draws from torch's global generator.

    Args:
        eligible: bool [B, T].
        share: probability.

    Returns:
        bool [B, T].
    """
    draws = torch.rand(eligible.shape, device=eligible.device).masked_fill(~eligible, 2.0)
    first = torch.zeros_like(eligible).scatter(1, draws.argmin(1, keepdim=True), True)
    return ((draws < share) | first) & eligible


def apply_mask(ids: Tensor, chosen: Tensor, mask: int, words: tuple[int, int]) -> Tensor:
    """Turn chosen tokens into ``mask`` (80 %) or a random word (10 %); 10 % stay as they are (BERT, 2019).

    Draws from torch's global generator.

    Args:
        ids: int [B, T].
        chosen: bool [B, T].
        mask: id of the mask.
        words: first id of a word, and one past the last.

    Returns:
        int [B, T].
    """
    draws = torch.rand(ids.shape, device=ids.device)
    random = torch.randint(*words, ids.shape, device=ids.device)
    replaced = torch.where(draws < 0.8, torch.full_like(ids, mask), torch.where(draws < 0.9, random, ids))
    return torch.where(chosen, replaced, ids)


def mask_words(ids: Tensor, share: float, mask: int, words: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Choose words by :func:`sample_mask` and replace them by :func:`apply_mask`.

    Args:
        ids: int [B, T]; those below ``words[0]`` are special marks and stay.
        share: probability that a word is chosen.
        mask: id of the mask.
        words: first id of a word, and one past the last.

    Returns:
        Changed ids int [B, T], and the chosen places bool [B, T].
    """
    chosen = sample_mask(ids >= words[0], share)
    return apply_mask(ids, chosen, mask, words), chosen


def sample_mismatched_pairs(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Mismatch about half of ``n`` >= 2 pairs by replacing one of their two parts by another row's.

    Draws from torch's global generator.

    Args:
        n: number of pairs.
        device: of the result.

    Returns:
        Rows of the first parts and of the second parts, int64 [n] each.
    """
    own = torch.arange(n, device=device)
    other = own.roll(int(torch.randint(1, n, ())))
    swapped, left = torch.rand(2, n, device=device) < 0.5
    return torch.where(swapped & left, other, own), torch.where(swapped & ~left, other, own)


def sample_hard_negatives(scores: Tensor, false_negatives: Tensor) -> tuple[Tensor, Tensor]:
    """Draw one negative for each row by the softmax of its scores.

    Draws from torch's global generator.

    Args:
        scores: [B, B].
        false_negatives: bool [B, B], columns that are not negatives of a row, the row itself among them.

    Returns:
        Rows that have a negative, and the negative of each, int64 [m] each.
    """
    rows = (~false_negatives).any(1).nonzero()[:, 0]
    probabilities = scores[rows].masked_fill(false_negatives[rows], -torch.inf).softmax(1)
    return rows, torch.multinomial(probabilities, 1)[:, 0] if len(rows) else rows
