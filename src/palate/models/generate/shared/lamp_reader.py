"""Fusion-in-decoder (Izacard and Grave, EACL 2021): each document is encoded with the query, the decoder reads all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.batch import Batch
from palate.modules.text_generation.copying import localize
from palate.modules.text_generation.text_transformer import Encoded, TextTransformer
from palate.modules.text_generation.token_losses import scored_words, word_log_probabilities
from palate.modules.text_generation.words import PAD

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class PassageBatch(Batch):
    """Queries with their documents.

    Attributes:
        query: int64 [B, Q].
        documents: int64 [B, K, D], empty rows where there is none.
        target: int64 [B, T].
        extra: words of the batch beyond the vocabulary; their ids follow those of the vocabulary.
        beyond: int64 [extra], the ids in the lexicon that these stand for.
    """

    query: Tensor
    documents: Tensor
    target: Tensor
    extra: int
    beyond: Tensor

    def __len__(self) -> int:
        return len(self.query)


@dataclass(frozen=True, eq=False)
class Passages:
    """Queries, documents and targets as rows of ids; a :class:`palate.core.batch.BatchSource`.

    Attributes:
        query: int64 [n, Q].
        table: int64 [m + 1, D], documents; the last row is empty.
        order: int64 [n, R, K], rows of ``table``, the best first, -1 for none; one order a retriever.
        target: int64 [n, T].
        vocabulary: size.
        varies: draw the retriever, and the number of documents from 0 to K, for each row.
    """

    query: IntArray
    table: IntArray
    order: IntArray
    target: IntArray
    vocabulary: int
    varies: bool = False
    sequential: bool = False

    def __len__(self) -> int:
        return len(self.query)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> PassageBatch:
        """A batch on the CPU.

        Args:
            rows: int64 [B].
            rng: draws retrievers and numbers of documents, where they vary.
        """
        order = self.order[rows]
        n, retrievers, k = order.shape
        chosen = order[:, 0]
        if self.varies:
            chosen = order[np.arange(n), rng.integers(retrievers, size=n)]
            chosen = np.where(np.arange(k) < rng.integers(k + 1, size=n)[:, None], chosen, -1)
        sources = [torch.from_numpy(self.query[rows]), torch.from_numpy(self.table[chosen])]
        copied, target, beyond = localize(sources, torch.from_numpy(self.target[rows]), self.vocabulary)
        return PassageBatch(copied[0], copied[1], target, len(beyond), beyond)


class FusionReader(nn.Module):
    """An encoder-decoder that reads several documents.

    Args:
        vocabulary: number of words.
        dim: width.
        layers: of encoder and decoder.
        dropout: while training.
    """

    def __init__(self, vocabulary: int, dim: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.network = TextTransformer(vocabulary, dim, layers, dropout=dropout)
        self.part = nn.Embedding(2, dim)
        nn.init.zeros_(self.part.weight)

    def encode(self, batch: PassageBatch) -> Encoded:
        """States of all passages of a row, one after the other.

        A passage is a document followed by the query, and the query alone where there is no document.

        Args:
            batch: queries with their documents.
        """
        query, documents = batch.query, batch.documents
        used, longest = int(documents.any(2).any(0).sum()), int(documents.flatten(0, 1).any(0).sum())
        documents = documents[:, : max(used, 1), :longest]
        n, k = documents.shape[:2]
        ids = torch.cat([query[:, None].expand(-1, k, -1), documents], 2)
        # a row without documents reads its query once
        there = documents.any(2)
        there[:, 0] = True
        mask = (ids != PAD) & there[..., None]
        mask[:, 0, 0] = True
        flat = ids.flatten(0, 1)
        kind = (torch.arange(ids.shape[2], device=ids.device) >= query.shape[1]).long()
        tokens = self.network.embed(flat) + self.part(kind)
        encoded = self.network.encode(tokens, mask.flatten(0, 1), flat)
        copies = torch.where(mask, ids, PAD).flatten(1)
        return Encoded(encoded.states.unflatten(0, (n, k)).flatten(1, 2), mask.flatten(1), copies, batch.extra)

    def choose(self, batch: PassageBatch, choices: Tensor) -> Tensor:
        """Log-probabilities [B, C] of answers.

        Args:
            batch: queries with their documents.
            choices: int64 [C, T], words of the vocabulary with their end.
        """
        n, c = len(batch), len(choices)
        encoded = self.encode(batch).repeat(c)
        target = choices.repeat(n, 1)
        log_probs = self.network.shifted(target, encoded)
        return (word_log_probabilities(log_probs, target) * scored_words(target)).sum(1).view(n, c)
