"""A causal Transformer over items and words in which the words of an item look at that item's own picture."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.attention import Attention
from palate.modules.text_generation.copying import clip_unknown, masked_attention, mix_copies
from palate.modules.text_generation.decoding import Decoder, State
from palate.modules.text_generation.text_transformer import sinusoids
from palate.modules.text_generation.visual_tokens import VisualTokens
from palate.modules.text_generation.words import PAD, START


@dataclass(frozen=True)
class Interleaved:
    """A context: words of items and of an instruction, in which holes are allowed, and the pictures of the items.

    Attributes:
        ids: int64 [B, L], ``PAD`` in holes.
        owner: int64 [B, L], the item of each word, -1 for none.
        pictures: [B, N, width].
        present: bool [B, N].
        copied: bool [B, L], words that can be copied.
        extra: words of the batch beyond the vocabulary.
    """

    ids: Tensor
    owner: Tensor
    pictures: Tensor
    present: Tensor
    copied: Tensor
    extra: int

    def repeat(self, times: int) -> Interleaved:
        """Each row several times, next to each other.

        Args:
            times: copies of a row.
        """
        names = ("ids", "owner", "pictures", "present", "copied")
        return replace(self, **{name: getattr(self, name).repeat_interleave(times, 0) for name in names})


def picture_mask(owner: Tensor, present: Tensor, fine_grained: bool) -> Tensor:
    """Which pictures words look at.

    Args:
        owner: int64 [B, L], the item of each word, -1 for none.
        present: bool [B, N], pictures that are there.
        fine_grained: words look at the picture of their own item, words of no item at none; else each word looks at
            the newest picture before it (Flamingo).

    Returns:
        bool [B, L, N].
    """
    n = present.shape[1]
    item = torch.arange(n, device=owner.device)
    if fine_grained:
        return (owner[..., None] == item) & present[:, None]
    # a word of no item comes after all items so far
    reached = owner.cummax(1).values if owner.shape[1] else owner
    before = (item <= reached[..., None]) & present[:, None]
    newest = torch.where(before, item, -1).amax(2) if n else reached
    return (newest[..., None] == item) & before


class GatedBlock(nn.Module):
    """Gated attention to pictures, then causal self-attention and a feed-forward net.

    x + tanh(g) attention(norm x, pictures), with g = 0 at first, so that pictures enter gradually.

    Args:
        dim: width.
        heads: of the attention.
        dropout: while training.
    """

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.cross_norm, self.cross = nn.LayerNorm(dim), Attention(dim, heads)
        self.gate = nn.Parameter(torch.zeros(()))
        # a word that looks at no picture looks at this instead
        self.nothing = nn.Parameter(torch.zeros(dim))
        self.norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.net = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, allowed: Tensor, pictures: Tensor, visible: Tensor) -> Tensor:
        """Run the block.

        Args:
            x: [B, L, d].
            allowed: bool [B, L, L].
            pictures: visual tokens [B, M, d].
            visible: bool [B, L, M].
        """
        keys = torch.cat([self.nothing.expand(len(x), 1, -1), pictures], 1)
        seen = self.cross(self.cross_norm(x), keys, F.pad(visible, (1, 0), value=True))
        x = x + self.gate.tanh() * seen * visible.any(2, keepdim=True)
        normed = self.norm(x)
        x = x + self.drop(self.attention(normed, normed, allowed))
        out: Tensor = x + self.drop(self.net(x))
        return out


class InterleavedTransformer(nn.Module):
    """A causal language model over interleaved items and words, which generates words or copies them from the context.

    Args:
        vocabulary: number of words.
        dim: width.
        layers: number of blocks.
        width: of the vectors of pictures; 0 for none.
        visual: visual tokens of a picture.
        heads: of the attention.
        dropout: while training.
        fine_grained: as in :func:`picture_mask`.
        copy: False generates only.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        layers: int,
        width: int = 0,
        visual: int = 2,
        heads: int = 4,
        dropout: float = 0.1,
        fine_grained: bool = True,
        copy: bool = True,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.blocks = nn.ModuleList(GatedBlock(dim, heads, dropout) for _ in range(layers))
        self.visual = VisualTokens(width, dim, visual) if width and visual else None
        self.norm, self.query, self.mode = nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Linear(2 * dim, 1)
        self.bias = nn.Parameter(torch.zeros(vocabulary))
        self.fine_grained, self.copy = fine_grained, copy

    def forward(self, answer: Tensor, context: Interleaved) -> Tensor:
        """Log-probabilities of words of an answer.

        Args:
            answer: int64 [B, T], begins with an opening.
            context: what stands before it.

        Returns:
            [B, T, V + extra], of the word after each of ``answer``.
        """
        ids = torch.cat([context.ids, answer], 1)
        start = context.ids.shape[1]
        present = torch.cat([context.ids != PAD, torch.ones_like(answer, dtype=torch.bool)], 1)
        places = (present.cumsum(1) - 1).clamp(min=0)
        x = self.words(clip_unknown(ids, len(self.bias))) * self.words.embedding_dim**0.5
        x = x + sinusoids(ids.shape[1], x.shape[2]).to(x.device)[places]
        itself = torch.eye(ids.shape[1], dtype=torch.bool, device=ids.device)
        allowed = (present[:, None] & torch.ones_like(itself).tril()) | itself
        pictures, visible = self._pictures(context, F.pad(context.owner, (0, answer.shape[1]), value=-1), x)
        for block in self.blocks:
            x = block(x, allowed, pictures, visible)
        x = self.norm(x)
        return self._log_probs(x[:, start:], x[:, :start], context)

    def shifted(self, target: Tensor, context: Interleaved) -> Tensor:
        """Log-probabilities [B, T, V + extra] of each word of a target int64 [B, T] given those before."""
        log_probs: Tensor = self(F.pad(target, (1, 0), value=START)[:, :-1], context)
        return log_probs

    def writer(self, context: Interleaved, banned: tuple[int, ...] = ()) -> Decoder:
        """The decoder about to write an answer.

        Args:
            context: what stands before it.
            banned: ids that are never written.
        """

        def step(last: Tensor, state: State) -> tuple[Tensor, State]:
            words = torch.cat([state[0], last[:, None]], 1)
            return self(words, context)[:, -1], (words,)

        empty = torch.zeros(len(context.ids), 0, dtype=torch.int64, device=context.ids.device)
        return Decoder(step, (empty,), banned=banned)

    def _pictures(self, context: Interleaved, owner: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Visual tokens [B, N * n, d], and bool [B, L, N * n]: which of them each word looks at."""
        if self.visual is None or not context.present.shape[1]:
            return x[:, :0], torch.zeros(*x.shape[:2], 0, dtype=torch.bool, device=x.device)
        mask = picture_mask(owner, context.present, self.fine_grained)
        return self.visual(context.pictures).flatten(1, 2), mask.repeat_interleave(self.visual.n, 2)

    def _log_probs(self, x: Tensor, before: Tensor, context: Interleaved) -> Tensor:
        generated = F.linear(x, self.words.weight, self.bias).softmax(2)
        scores = self.query(x) @ before.transpose(1, 2) / x.shape[2] ** 0.5
        attention = masked_attention(scores, context.copied[:, None])
        share = self.mode(torch.cat([x, attention @ before], 2)).sigmoid()
        open_ = context.copied.any(1)[:, None, None]
        share = torch.where(open_, share, 1.0) if self.copy else torch.ones_like(share)
        ids = context.ids * context.copied
        return mix_copies(generated, torch.cat([share, 1 - share], 2), [attention], [ids], context.extra)
