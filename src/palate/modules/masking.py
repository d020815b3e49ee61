"""What must be guessed and what is shown in its place: masked tokens, and pairs that do not belong together."""

from __future__ import annotations

import torch
from torch import Tensor


def choose(eligible: Tensor, share: float) -> Tensor:
    """Bool [B, T]: each eligible token with probability ``share``, and at least one in every row that has any.

    Draws from torch's global generator.
    """
    draws = torch.rand(eligible.shape, device=eligible.device).masked_fill(~eligible, 2.0)
    first = torch.zeros_like(eligible).scatter(1, draws.argmin(1, keepdim=True), True)
    return ((draws < share) | first) & eligible


def corrupt(ids: Tensor, chosen: Tensor, mask: int, words: tuple[int, int]) -> Tensor:
    """Ids [B, T] in which chosen tokens become ``mask`` (80 %), a random word (10 %) or stay (10 %) (BERT, 2019).

    Args:
        ids: int [B, T]. chosen: bool [B, T]. mask: id of the mask. words: first id of a word, and one past the last.
    """
    draws = torch.rand(ids.shape, device=ids.device)
    random = torch.randint(*words, ids.shape, device=ids.device)
    shown = torch.where(draws < 0.8, torch.full_like(ids, mask), torch.where(draws < 0.9, random, ids))
    return torch.where(chosen, shown, ids)


def mask_words(ids: Tensor, share: float, mask: int, words: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Ids [B, T] with ``share`` of their words corrupted, and which (bool), see :func:`choose` and :func:`corrupt`.

    Args:
        ids: int [B, T]; those below ``words[0]`` are no words and stay.
    """
    chosen = choose(ids >= words[0], share)
    return corrupt(ids, chosen, mask, words), chosen


def mismatched(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows of both sides of ``n`` >= 2 pairs, int64 [n] each; about half lost one side to another row."""
    own = torch.arange(n, device=device)
    other = own.roll(int(torch.randint(1, n, ())))
    swapped, left = torch.rand(2, n, device=device) < 0.5
    return torch.where(swapped & left, other, own), torch.where(swapped & ~left, other, own)


def mine(scores: Tensor, twins: Tensor) -> tuple[Tensor, Tensor]:
    """Rows that have a negative, and one for each, drawn by the softmax of its scores.

    Args:
        scores: [B, B]. twins: bool [B, B], columns that are no negative of a row; itself among them.
    """
    rows = (~twins).any(1).nonzero()[:, 0]
    chances = scores[rows].masked_fill(twins[rows], -torch.inf).softmax(1)
    return rows, torch.multinomial(chances, 1)[:, 0] if len(rows) else rows
