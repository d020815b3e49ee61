"""Spans of a text taken out and written again: what a denoiser reads, and what it must write."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.masking import choose
from palate.modules.towers import PAD


def spans(eligible: Tensor, share: float, length: int) -> Tensor:
    """Bool [B, T]: runs of ``length`` eligible tokens from random starts on, which cover ``share`` of a long row.

    Every row with an eligible token has a run. A start is drawn with probability 1 - (1 - share)^(1 / length), since a
    token stays when none of the ``length`` places up to it is a start; the end of a row cuts runs.
    """
    starts = choose(eligible, 1 - (1 - share) ** (1 / length))
    covered = starts.clone()
    for shift in range(1, min(length, starts.shape[1])):
        covered[:, shift:] |= starts[:, :-shift]
    return covered & eligible


def compact(ids: Tensor, kept: Tensor) -> Tensor:
    """Kept ids [B, n] moved to the front in their order, ``PAD`` behind; as wide as the fullest row, at least 1."""
    order = (~kept).long().argsort(dim=1, stable=True)
    moved = ids.masked_fill(~kept, PAD).gather(1, order)
    return moved[:, : max(int(kept.sum(1).max()), 1)]


def take_out(ids: Tensor, spans: Tensor, sentinel: int, end: int) -> tuple[Tensor, Tensor]:
    """What is read and what is to be written (T5's span corruption, Raffel et al., JMLR 2020).

    Read: each run replaced by one sentinel. Written: each run after its sentinel, then ``end``.

    Args:
        ids: int64 [B, T], ``PAD`` where there is none. spans: bool [B, T], the runs. sentinel: id of the first run's;
            the next ones follow, at most (T + 1) // 2 of them.

    Returns:
        int64 [B, n] and [B, m].
    """
    first = spans.clone()
    first[:, 1:] &= ~spans[:, :-1]
    names = sentinel + first.long().cumsum(1) - 1
    read = compact(torch.where(first, names, ids), (ids != PAD) & (~spans | first))
    pairs = torch.stack([names, ids], 2).flatten(1)
    kept = torch.stack([first, spans], 2).flatten(1)
    closing = torch.full_like(ids[:, :1], end)
    written = compact(torch.cat([pairs, closing], 1), torch.cat([kept, torch.ones_like(kept[:, :1])], 1))
    return read, written


def cut(ids: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """What is read, the first ``at`` tokens (int64 [B]), and what is to be written, the rest; both int64 [B, n]."""
    before = torch.arange(ids.shape[1], device=ids.device) < at[:, None]
    there = ids != PAD
    return compact(ids, before & there), compact(ids, ~before & there)
