"""Entities that articles name, for news recommenders that read them beside words."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from palate.data.schema import FIRST, PADDING
from palate.models.rank.shared.news_ranker import NewsRanker, View
from palate.modules.content_slots import ContentSlots
from palate.modules.fields import FieldEmbedding

ENTITY_WEIGHT = 0.1
"""Standard deviation that embeddings of entities start from."""


class EntityReader(NewsRanker):
    """A news recommender over positions: each word of a title with its entity, then each attribute of the article.

    Entities are those that the data link (column ``title_entities``, as MIND has it); they stand at the words that name
    them. Values of attributes, such as the category, are entities too and stand at positions of their own without
    a word, so that data without linked entities are read as well. Of ``views`` only the title matters.

    Attributes:
        context: int64 [entities, width], entities that occur with each, most often first; 0 is padding.
    """

    context: Tensor

    def build_entities(self, width: int = 8) -> None:
        """Make the table of entities.

        Args:
            width: neighbours kept of each.
        """
        self.linked = FIRST + len(self.vocabulary.entities) if self.vocabulary.entities else 1
        self.offsets, size = {}, self.linked
        for one in self.attributes:
            self.offsets[one.name] = size
            size += one.size
        self.n_entities = size
        self.entity = nn.Embedding(size, self.config.dim, padding_idx=PADDING)
        nn.init.normal_(self.entity.weight[1:], std=ENTITY_WEIGHT)
        self.register_buffer("context", torch.zeros(size, width, dtype=torch.int64))
        self.word_views: list[View] = ["title"] if "title" in self.views else []
        if self.word_views or size > 1:
            # positions are words and entities alone
            self.several, self.facts = {}, FieldEmbedding({}, self.config.dim)
            self.content = ContentSlots({}, self.config.dim)

    def entity_ids(self, rows: Tensor) -> Tensor:
        """Ids int64 [n, positions] of entities; 0 where a position has none.

        Args:
            rows: int64 [n].
        """
        parts = [self.words.rows("entities", rows)] if self.word_views else []
        for name, offset in self.offsets.items():
            values = self.tables.rows(name, rows)
            values = values[..., None] if values.ndim == rows.ndim else values
            parts.append(torch.where(values == PADDING, PADDING, values + offset))
        found = torch.cat(parts, 1) if parts else rows.new_zeros(len(rows), 1)
        return found * (rows >= 0)[:, None]

    def positions(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Words float32 [n, positions, dim], ids of entities int64 [n, positions], what is there bool [n, positions].

        Args:
            rows: int64 [n].
        """
        ids = self.entity_ids(rows)
        words = self.nobody.new_zeros(*ids.shape, self.config.dim)
        there = ids != PADDING
        if self.word_views:
            values, mask = self.tokens(rows, self.word_views)
            width = values.shape[1]
            words = torch.cat([values, words[:, width:]], 1)
            there = torch.cat([mask, there[:, width:]], 1)
        return words, ids, there

    def link(self) -> None:
        """Find the context of entities: those that share most articles with each; O(pairs of entities in articles)."""
        rows = torch.arange(len(self.words.title), device=self.device)
        ids = self.entity_ids(rows).cpu().numpy()
        article, place = np.nonzero(ids)
        taken = sp.csr_array(
            (np.ones(len(article), np.float32), (article, ids[article, place])), shape=(len(ids), self.n_entities)
        )
        taken.data[:] = 1
        shared = sp.coo_array(taken.T @ taken)
        off = shared.row != shared.col
        row, other, count = shared.row[off], shared.col[off], shared.data[off]
        order = np.lexsort((other, -count, row))
        row, other = row[order], other[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < self.context.shape[1]
        table = np.zeros(self.context.shape, np.int64)
        table[row[kept], rank[kept]] = other[kept]
        self.context.copy_(torch.from_numpy(table))
