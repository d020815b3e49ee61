"""A user's preferences from what the user took, in three perspectives, merged into one vector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from palate.modules.text_generation.copying import masked_attention
from palate.modules.text_generation.topics import TopicModel, word_counts

Perspective = Literal["knowledge", "aspect", "vocabulary"]


class PreferenceModel(nn.Module):
    """Knowledge, aspect and vocabulary preferences (PAGE).

    Knowledge: attention of the question over states of the history. Aspect: shares of topics in the history times a
    vector of each topic. Vocabulary: mean word vector of the history's words. With ``gated`` they are merged by
    softmax(W [question; all three]), else by their mean. Without a history all are zero.

    Args:
        words: table of words.
        dim: width of states.
        topics: of the history; fitted by whoever gives it.
        perspectives: which of them there are.
        gated: merge by a gate.
    """

    def __init__(
        self, words: nn.Embedding, dim: int, topics: TopicModel, perspectives: Sequence[Perspective], gated: bool
    ) -> None:
        super().__init__()
        self.table, self.perspectives, self.gated = (words,), tuple(perspectives), gated
        self.topics = (topics,)
        self.topic_vectors = nn.Parameter(torch.randn(len(topics.words), dim) * dim**-0.5)
        self.query, self.word = nn.Linear(dim, dim), nn.Linear(words.embedding_dim, dim, bias=False)
        self.gate = nn.Linear((1 + len(self.perspectives)) * dim, len(self.perspectives))

    def forward(self, question: Tensor, states: Tensor, mask: Tensor, words: Tensor) -> tuple[Tensor, Tensor]:
        """Merge the perspectives.

        Args:
            question: [B, d].
            states: of the history's words [B, S, d].
            mask: bool [B, S].
            words: of the history int64 [B, S].

        Returns:
            Preference [B, d], and the weight of each perspective [B, perspectives].
        """
        found = {
            "knowledge": lambda: self._knowledge(question, states, mask),
            "aspect": lambda: self.topics[0](words) @ self.topic_vectors,
            "vocabulary": lambda: self._vocabulary(words),
        }
        parts = [found[name]() for name in self.perspectives]
        stacked = torch.stack(parts, 1)
        even = stacked.new_full((len(stacked), len(parts)), 1 / len(parts))
        weights = self.gate(torch.cat([question, *parts], 1)).softmax(1) if self.gated else even
        return (weights[..., None] * stacked).sum(1), weights

    def _knowledge(self, question: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        scores = (states @ self.query(question)[..., None]).squeeze(2) / states.shape[2] ** 0.5
        return (masked_attention(scores, mask)[:, None] @ states).squeeze(1)

    def _vocabulary(self, words: Tensor) -> Tensor:
        counts = word_counts(words, self.table[0].num_embeddings)
        mean = counts @ self.table[0].weight / counts.sum(1, keepdim=True).clamp(min=1)
        out: Tensor = self.word(mean)
        return out
