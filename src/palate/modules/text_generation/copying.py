"""Copying words of a source: ids of words beyond the vocabulary within a batch, and mixed distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from palate.modules.text_generation.words import PAD, UNKNOWN

SMALLEST = 1e-12
"""Probability under which logarithms are cut off."""


def localize(sources: Sequence[Tensor], target: Tensor, vocabulary: int) -> tuple[list[Tensor], Tensor, Tensor]:
    """Number the words of a batch that are beyond the vocabulary.

    Args:
        sources: int64 [B, ...] ids of words that can be copied.
        target: int64 [B, T] of the words to generate; a word that neither the vocabulary nor the sources of its own
            row have becomes ``UNKNOWN``.
        vocabulary: ids from here on are beyond the vocabulary.

    Returns:
        The sources and the target with ids below vocabulary + K, and int64 [K], the ids that the last K stand for.
    """
    joined = torch.cat([target[:, :0], *(source.flatten(1) for source in sources)], 1)
    beyond = torch.unique(joined[joined >= vocabulary])

    def local(ids: Tensor) -> Tensor:
        found = torch.searchsorted(beyond, ids.contiguous())
        return torch.where(ids < vocabulary, ids, vocabulary + found)

    own = (target[:, :, None] == joined[:, None, :]).any(2)
    target = torch.where((target < vocabulary) | own, target, UNKNOWN)
    return [local(source) for source in sources], local(target), beyond


def mix_copies(
    generated: Tensor, modes: Tensor, attentions: Sequence[Tensor], sources: Sequence[Tensor], extra: int
) -> Tensor:
    """Mix the distribution over the vocabulary with copies of source words (See et al., ACL 2017).

    P(w) = m_0 P_vocabulary(w) + sum_j m_j sum_{i: w_ji = w} a_ji. With one source, m_0 is p_gen.

    Args:
        generated: probabilities [B, T, V].
        modes: probabilities [B, T, 1 + number of sources].
        attentions: one [B, T, S] a source; rows add up to 1, or to 0 where a source is empty.
        sources: one int64 [B, S] a source, below V + extra.
        extra: words of the batch beyond the vocabulary.

    Returns:
        Log-probabilities [B, T, V + extra], cut off at log ``SMALLEST``.
    """
    batch, steps = generated.shape[:2]
    mixed = torch.cat([generated * modes[..., :1], generated.new_zeros(batch, steps, extra)], 2)
    for at, (attention, ids) in enumerate(zip(attentions, sources), 1):
        mixed = mixed.scatter_add(2, ids[:, None].expand(-1, steps, -1), attention * modes[..., at : at + 1])
    return mixed.clamp(min=SMALLEST).log()


def masked_attention(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over present positions; zeros where there is none.

    Args:
        scores: [..., S].
        mask: bool, broadcastable to ``scores``.
    """
    masked = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return masked.softmax(-1) * mask


def source_mask(ids: Tensor) -> Tensor:
    """True where a word stands.

    Args:
        ids: int64.
    """
    return ids != PAD


def clip_unknown(ids: Tensor, vocabulary: int) -> Tensor:
    """Ids to embed: words beyond the vocabulary are ``UNKNOWN``.

    Args:
        ids: int64.
        vocabulary: size.
    """
    return torch.where(ids < vocabulary, ids, UNKNOWN)
