"""Rows of token ids: two texts concatenated, spans removed for a denoiser, a text split in two."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.masking import sample_mask
from palate.modules.towers import PAD


def concat_texts(first: Tensor, second: Tensor, words: int) -> tuple[Tensor, Tensor]:
    """Concatenate two texts to [CLS] first [SEP] second [SEP].

    Args:
        first: ids int64 [B, L], each [CLS] text [SEP] and padding, or padding alone where the text is missing.
        second: likewise.
        words: first id that is a word.

    Returns:
        Ids [B, T], and the text that each word belongs to [B, T]: 1, 2, or 0 for special marks.
    """
    # one [CLS] is enough
    second = torch.cat([torch.where(first[:, :1] != PAD, PAD, second[:, :1]), second[:, 1:]], 1)
    ids = torch.cat([first, second], 1)
    part = torch.cat([torch.full_like(first, 1), torch.full_like(second, 2)], 1) * (ids >= words)
    longest = max(int((ids != PAD).sum(1).max()), 1)
    order = (ids == PAD).byte().argsort(dim=1, stable=True)[:, :longest]
    return ids.gather(1, order), part.gather(1, order)


def sample_spans(eligible: Tensor, share: float, length: int) -> Tensor:
    """Draw spans of eligible tokens that cover ``share`` of a long row.

    Every row with an eligible token has a span. A start is drawn with probability 1 - (1 - share)^(1 / length), since a
    token stays when none of the ``length`` places up to it is a start; the end of a row cuts spans.

    Args:
        eligible: bool [B, T].
        share: of the tokens.
        length: tokens in a span.

    Returns:
        bool [B, T].
    """
    starts = sample_mask(eligible, 1 - (1 - share) ** (1 / length))
    covered = starts.clone()
    for shift in range(1, min(length, starts.shape[1])):
        covered[:, shift:] |= starts[:, :-shift]
    return covered & eligible


def compact(ids: Tensor, chosen: Tensor) -> Tensor:
    """Move chosen ids to the front in their order, ``PAD`` behind; as wide as the fullest row, at least 1.

    Args:
        ids: int64 [B, n].
        chosen: bool [B, n].
    """
    order = (~chosen).long().argsort(dim=1, stable=True)
    moved = ids.masked_fill(~chosen, PAD).gather(1, order)
    return moved[:, : max(int(chosen.sum(1).max()), 1)]


def corrupt_spans(ids: Tensor, spans: Tensor, sentinel: int, end: int) -> tuple[Tensor, Tensor]:
    """Make input and target of T5's span corruption (Raffel et al., JMLR 2020).

    Input: each span replaced by one sentinel. Target: each span after its sentinel, then ``end``.

    Args:
        ids: int64 [B, T], padded with ``PAD``.
        spans: bool [B, T].
        sentinel: id of the first span's sentinel; the next ones follow, at most (T + 1) // 2 of them.
        end: id at the end of the target.

    Returns:
        Input int64 [B, n] and target int64 [B, m].
    """
    first = spans.clone()
    first[:, 1:] &= ~spans[:, :-1]
    sentinels = sentinel + first.long().cumsum(1) - 1
    inputs = compact(torch.where(first, sentinels, ids), (ids != PAD) & (~spans | first))
    pairs = torch.stack([sentinels, ids], 2).flatten(1)
    chosen = torch.stack([first, spans], 2).flatten(1)
    closing = torch.full_like(ids[:, :1], end)
    target = compact(torch.cat([pairs, closing], 1), torch.cat([chosen, torch.ones_like(chosen[:, :1])], 1))
    return inputs, target


def split_at(ids: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """Split each row into its first ``at`` tokens and the rest.

    Args:
        ids: int64 [B, T], padded with ``PAD``.
        at: int64 [B].

    Returns:
        Both parts, int64 [B, n] and [B, m].
    """
    before = torch.arange(ids.shape[1], device=ids.device) < at[:, None]
    present = ids != PAD
    return compact(ids, before & present), compact(ids, ~before & present)
