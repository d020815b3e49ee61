"""An LSTM pointer-generator with several sources and a vector of the user in its state, attention and copying."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from palate.modules.text_generation.copying import clip_unknown, masked_attention, mix_copies, source_mask
from palate.modules.text_generation.decoding import Decoder, State

Injection = Literal["state", "attention", "copy"]


@dataclass(frozen=True)
class Source:
    """An encoded source.

    Attributes:
        ids: int64 [B, S], with ids of words beyond the vocabulary.
        states: [B, S, d].
    """

    ids: Tensor
    states: Tensor

    def repeat(self, times: int) -> Source:
        """Each row several times, next to each other.

        Args:
            times: copies of a row.
        """
        return Source(self.ids.repeat_interleave(times, 0), self.states.repeat_interleave(times, 0))


@dataclass(frozen=True)
class Memory:
    """All that a decoder reads.

    Attributes:
        sources: those that are attended to and copied from.
        summary: [B, d], from which the first state is made.
        user: [B, u], or None.
        bias: added to the logits of words [B, V], or None.
        extra: words of the batch beyond the vocabulary.
    """

    sources: tuple[Source, ...]
    summary: Tensor
    user: Tensor | None = None
    bias: Tensor | None = None
    extra: int = 0

    def repeat(self, times: int) -> Memory:
        """Each row several times, next to each other.

        Args:
            times: copies of a row.
        """
        sources = tuple(source.repeat(times) for source in self.sources)
        user, bias = (None if one is None else one.repeat_interleave(times, 0) for one in (self.user, self.bias))
        return replace(self, sources=sources, summary=self.summary.repeat_interleave(times, 0), user=user, bias=bias)


class WordEncoder(nn.Module):
    """A bidirectional LSTM over words.

    Args:
        words: table of words, shared with whoever gives it.
        dim: width of the states, even.
    """

    def __init__(self, words: nn.Embedding, dim: int) -> None:
        super().__init__()
        self.table = (words,)
        self.lstm = nn.LSTM(words.embedding_dim, dim // 2, batch_first=True, bidirectional=True)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, S, d] of words int64 [B, S], zero at padding, and their mean [B, d]."""
        words, mask = self.table[0], source_mask(ids)
        lengths = mask.sum(1).clamp(min=1).cpu()
        embedded = words(clip_unknown(ids, words.num_embeddings))
        packed = nn.utils.rnn.pack_padded_sequence(embedded, lengths, batch_first=True, enforce_sorted=False)
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=ids.shape[1])
        states = states * mask[..., None]
        return states, states.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


class PointerDecoder(nn.Module):
    """An LSTM that generates words of the vocabulary or copies words of its sources.

    e_ti = v^T tanh(W_h h_i + W_s s_t [+ W_u u] + b), a_t = softmax(e_t), c_t = sum a_ti h_i for each source;
    P_vocabulary = softmax(E tanh(W [s_t; c_t]) + b) with E the table of words;
    (p_gen, p_copy) = softmax of a linear map of [c_t; s_t; x_t [; u]], whose last logit is 0, so that with one source
    p_gen is the usual sigmoid.

    Args:
        words: table of words.
        dim: width of states and of the sources.
        sources: number of sources.
        user: width of the user's vector; 0 for none.
        inject: where the user's vector enters: the first state, attention, the choice between generating and copying.
        copy: False generates only.
    """

    def __init__(
        self,
        words: nn.Embedding,
        dim: int,
        sources: int = 1,
        user: int = 0,
        inject: Collection[Injection] = ("state", "attention", "copy"),
        copy: bool = True,
    ) -> None:
        super().__init__()
        width = words.embedding_dim
        self.table, self.copy = (words,), copy
        self.inject = frozenset(inject) if user else frozenset[Injection]()
        extra = {place: user if place in self.inject else 0 for place in ("state", "attention", "copy")}
        self.first = nn.Linear(dim + extra["state"], 2 * dim)
        self.cell = nn.LSTMCell(width + sources * dim, dim)
        self.keys = nn.ModuleList(nn.Linear(dim, dim, bias=False) for _ in range(sources))
        self.queries = nn.ModuleList(nn.Linear(dim + extra["attention"], dim) for _ in range(sources))
        self.energies = nn.ModuleList(nn.Linear(dim, 1, bias=False) for _ in range(sources))
        self.hidden = nn.Linear((1 + sources) * dim, width)
        self.modes = nn.Linear((1 + sources) * dim + width + extra["copy"], sources)
        self.bias = nn.Parameter(torch.zeros(words.num_embeddings))

    def start(self, memory: Memory) -> State:
        """State before the first word.

        Args:
            memory: what is read.
        """
        h, c = self.first(self._with_user(memory.summary, memory, "state")).tanh().chunk(2, 1)
        context = h.new_zeros(len(h), sum(source.states.shape[2] for source in memory.sources))
        return h, c, context

    def advance(self, last: Tensor, state: State, memory: Memory) -> tuple[Tensor, list[Tensor], Tensor, State]:
        """One word further.

        Args:
            last: int64 [B], the word before.
            state: as returned before.
            memory: what is read.

        Returns:
            Features of the next word [B, width], attention to each source, modes [B, 1 + sources], and the state.
        """
        words = self.table[0]
        x = words(clip_unknown(last, words.num_embeddings))
        h, c = self.cell(torch.cat([x, state[2]], 1), (state[0], state[1]))
        asked = self._with_user(h, memory, "attention")
        attentions, contexts = [], []
        for source, key, query, energy in zip(memory.sources, self.keys, self.queries, self.energies):
            scores = energy((key(source.states) + query(asked)[:, None]).tanh()).squeeze(2)
            attentions.append(masked_attention(scores, source_mask(source.ids)))
            contexts.append((attentions[-1][:, None] @ source.states).squeeze(1))
        context = torch.cat(contexts, 1)
        logits = self.modes(self._with_user(torch.cat([context, h, x], 1), memory, "copy"))
        closed = torch.stack([~source_mask(source.ids).any(1) for source in memory.sources], 1)
        logits = torch.cat([logits, logits.new_zeros(len(logits), 1)], 1)
        closed = torch.cat([torch.zeros_like(closed[:, :1]), closed if self.copy else torch.ones_like(closed)], 1)
        modes = logits.masked_fill(closed, -torch.inf).softmax(1)
        return self.hidden(torch.cat([h, context], 1)).tanh(), attentions, modes, (h, c, context)

    def log_probs(self, features: Tensor, attentions: Sequence[Tensor], modes: Tensor, memory: Memory) -> Tensor:
        """Log-probabilities [B, T, V + extra] of words.

        Args:
            features: [B, T, width].
            attentions: one [B, T, S] a source.
            modes: [B, T, 1 + sources].
            memory: what is read.
        """
        logits = nn.functional.linear(features, self.table[0].weight, self.bias)
        logits = logits if memory.bias is None else logits + memory.bias[:, None]
        return mix_copies(logits.softmax(2), modes, attentions, [source.ids for source in memory.sources], memory.extra)

    def forward(self, inputs: Tensor, memory: Memory) -> Tensor:
        """Log-probabilities [B, T, V + extra] of the word after each of the inputs int64 [B, T]."""
        state, steps = self.start(memory), []
        for at in range(inputs.shape[1]):
            features, attentions, modes, state = self.advance(inputs[:, at], state, memory)
            steps.append((features, modes, *attentions))
        features, modes, *attentions = (torch.stack(parts, 1) for parts in zip(*steps))
        return self.log_probs(features, attentions, modes, memory)

    def decoder(self, memory: Memory) -> Decoder:
        """The decoder about to write.

        Args:
            memory: what is read.
        """

        def step(last: Tensor, state: State) -> tuple[Tensor, State]:
            features, attentions, modes, state = self.advance(last, state, memory)
            each = [attention[:, None] for attention in attentions]
            return self.log_probs(features[:, None], each, modes[:, None], memory)[:, 0], state

        return Decoder(step, self.start(memory))

    def _with_user(self, x: Tensor, memory: Memory, place: Injection) -> Tensor:
        return torch.cat([x, memory.user], 1) if place in self.inject and memory.user is not None else x
