"""A small encoder-decoder Transformer over words with visual tokens, copying, and room for adapters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.adapters import Bottleneck
from palate.modules.attention import Attention
from palate.modules.text_generation.copying import clip_unknown, masked_attention, mix_copies, source_mask
from palate.modules.text_generation.decoding import Decoder, State
from palate.modules.text_generation.words import PAD, START


def sinusoids(n: int, dim: int) -> Tensor:
    """Sinusoidal positions (Vaswani et al., NeurIPS 2017), float32 [n, dim].

    Args:
        n: number of positions.
        dim: width, even.
    """
    rate = 10_000.0 ** -(torch.arange(0, dim, 2) / dim)
    angle = torch.arange(n)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], 2).flatten(1)


@dataclass(frozen=True)
class Encoded:
    """What the decoder reads.

    Attributes:
        states: [B, S, d].
        mask: bool [B, S].
        ids: int64 [B, S], words that can be copied, ``PAD`` elsewhere.
        extra: words of the batch beyond the vocabulary.
    """

    states: Tensor
    mask: Tensor
    ids: Tensor
    extra: int

    def repeat(self, times: int) -> Encoded:
        """Each row several times, next to each other.

        Args:
            times: copies of a row.
        """
        parts = {name: getattr(self, name).repeat_interleave(times, 0) for name in ("states", "mask", "ids")}
        return replace(self, **parts)


class Block(nn.Module):
    """Pre-norm attention, attention to an encoder where asked for, and a feed-forward net.

    Args:
        dim: width.
        heads: of the attention.
        crosses: attend to an encoder.
        dropout: while training.
    """

    def __init__(self, dim: int, heads: int, crosses: bool, dropout: float) -> None:
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(dim), Attention(dim, heads)
        self.cross_norm = nn.LayerNorm(dim) if crosses else None
        self.cross = Attention(dim, heads) if crosses else None
        self.net = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))
        self.drop = nn.Dropout(dropout)
        self.attention_adapter: nn.Module = nn.Identity()
        self.net_adapter: nn.Module = nn.Identity()

    def add_adapters(self, reduction: int) -> None:
        """Put bottlenecks after attention and after the feed-forward net; they change nothing at first.

        Args:
            reduction: width of the block over that of the bottleneck.
        """
        dim = self.norm.normalized_shape[0]
        self.attention_adapter, self.net_adapter = (Bottleneck(dim, max(dim // reduction, 1)) for _ in range(2))

    def forward(self, x: Tensor, allowed: Tensor, encoded: Encoded | None = None) -> Tensor:
        """Run the block on x [B, T, d] with a mask bool [B, T or 1, T]."""
        normed = self.norm(x)
        x = x + self.drop(self.attention_adapter(self.attention(normed, normed, allowed)))
        if self.cross is not None and self.cross_norm is not None and encoded is not None:
            x = x + self.drop(self.cross(self.cross_norm(x), encoded.states, encoded.mask[:, None]))
        out: Tensor = x + self.drop(self.net_adapter(self.net(x)))
        return out


class TextTransformer(nn.Module):
    """Encoder and decoder over one table of words, and a head that generates or copies.

    P(w) = p P_vocabulary(w) + (1 - p) sum_{i: w_i = w} a_i, with a the attention of a state of the decoder to the
    encoder's states of words, and p a sigmoid of that state and of what it attends to.

    Args:
        vocabulary: number of words.
        dim: width.
        layers: of encoder and decoder.
        heads: of the attention.
        dropout: while training.
        copy: False generates only.
    """

    def __init__(
        self,
        vocabulary: int,
        dim: int,
        layers: int,
        heads: int = 4,
        dropout: float = 0.1,
        copy: bool = True,
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        nn.init.normal_(self.words.weight, std=dim**-0.5)
        self.encoder = nn.ModuleList(Block(dim, heads, False, dropout) for _ in range(layers))
        self.decoder = nn.ModuleList(Block(dim, heads, True, dropout) for _ in range(layers))
        self.encoder_norm, self.decoder_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.query, self.mode, self.copy = nn.Linear(dim, dim), nn.Linear(2 * dim, 1), copy
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def lookup(self, ids: Tensor) -> Tensor:
        """Words without positions: [..., d] of int64 [...]."""
        words: Tensor = self.words(clip_unknown(ids, self.words.num_embeddings))
        scale: float = self.words.embedding_dim**0.5
        return words * scale

    def embed(self, ids: Tensor) -> Tensor:
        """Words with their positions: [B, S, d] of int64 [B, S]; positions count from the first column."""
        words = self.lookup(ids)
        return words + sinusoids(words.shape[1], words.shape[2]).to(words.device)

    def encode(self, tokens: Tensor, mask: Tensor, ids: Tensor, extra: int = 0) -> Encoded:
        """States of tokens.

        Args:
            tokens: [B, S, d], words as :meth:`embed` gives them, and visual tokens.
            mask: bool [B, S]; a row may be empty.
            ids: int64 [B, S], words that can be copied, ``PAD`` elsewhere.
            extra: words of the batch beyond the vocabulary.
        """
        # an empty row attends to its first position, so that nothing is undefined
        first = torch.zeros_like(mask)
        first[:, 0] = ~mask.any(1)
        mask = mask | first
        x = tokens
        for block in self.encoder:
            x = block(x, mask[:, None])
        return Encoded(self.encoder_norm(x), mask, ids, extra)

    def forward(self, inputs: Tensor, encoded: Encoded) -> Tensor:
        """Log-probabilities [B, T, V + extra] of the word after each of the inputs int64 [B, T]."""
        steps = inputs.shape[1]
        causal = torch.ones(steps, steps, dtype=torch.bool, device=inputs.device).tril()[None]
        x = self.embed(inputs)
        for block in self.decoder:
            x = block(x, causal.expand(len(x), -1, -1), encoded)
        return self.log_probs(self.decoder_norm(x), encoded)

    def log_probs(self, x: Tensor, encoded: Encoded) -> Tensor:
        """Mix what is generated and what is copied.

        Args:
            x: states of the decoder [B, T, d].
            encoded: what the decoder reads.
        """
        generated = F.linear(x, self.words.weight, self.bias).softmax(2)
        here = source_mask(encoded.ids)
        attention = masked_attention(self.query(x) @ encoded.states.transpose(1, 2) / x.shape[2] ** 0.5, here[:, None])
        share = self.mode(torch.cat([x, attention @ encoded.states], 2)).sigmoid()
        share = torch.where(here.any(1)[:, None, None], share, 1.0) if self.copy else torch.ones_like(share)
        return mix_copies(generated, torch.cat([share, 1 - share], 2), [attention], [encoded.ids], encoded.extra)

    def shifted(self, target: Tensor, encoded: Encoded) -> Tensor:
        """Log-probabilities [B, T, V + extra] of each word of a target int64 [B, T] given those before."""
        out: Tensor = self(F.pad(target, (1, 0), value=START)[:, :-1], encoded)
        return out

    def writer(self, encoded: Encoded, banned: tuple[int, ...] = (), first: Tensor | None = None) -> Decoder:
        """The decoder about to write.

        Args:
            encoded: what it reads.
            banned: ids that are never written.
            first: int64 [B], words that are written already; None for none.
        """

        def step(last: Tensor, state: State) -> tuple[Tensor, State]:
            words = torch.cat([state[0], last[:, None]], 1)
            return self(words, encoded)[:, -1], (words,)

        rows = len(encoded.states)
        before = torch.full((rows, 0 if first is None else 1), START, device=encoded.states.device)
        return Decoder(step, (before,), START if first is None else first, banned)

    def add_adapters(self, reduction: int) -> None:
        """Put adapters into every block.

        Args:
            reduction: width of a block over that of a bottleneck.
        """
        for block in (*self.encoder, *self.decoder):
            block.add_adapters(reduction)

    def backbone(self) -> list[nn.Parameter]:
        """Parameters of everything but adapters."""
        adapters = {id(each) for part in self.modules() if isinstance(part, Bottleneck) for each in part.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in adapters]

    def adapted(self) -> list[nn.Parameter]:
        """Parameters of adapters and norms, which are trained while all others are frozen."""
        small = (part for part in self.modules() if isinstance(part, Bottleneck | nn.LayerNorm))
        return [parameter for part in small for parameter in part.parameters()]
