"""SASRec (Kang & McAuley, ICDM 2018): a transformer that reads a history and names what comes next.

h = transformer(items + positions) under a causal mask, score = h_last . e_i. It contributes self-attention to sequences
of items. Our choices: the loss is a softmax over the next item and ``negatives`` items drawn for the whole batch
(Klenitskiy & Vasilev, RecSys 2023: with enough negatives it outdoes the paper's binary loss); positions are counted
from the newest item, as left padding does in the public code; layers are normalised before attention.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.batches.sequences import SequenceBatches
from palate.contracts import Capabilities, InputSpec, models
from palate.core.batch import BatchSource, IntArray, RaggedArray, SequenceBatch, UserBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.data.views import TrainView
from palate.models.base import Recommender
from palate.ranking.scorer import Scorer


@models.register("sasrec")
class SASRec(Recommender):
    """Next-item recommendation by causal self-attention."""

    name = "sasrec"
    paper = "Kang & McAuley, Self-Attentive Sequential Recommendation, ICDM 2018"
    capabilities = Capabilities(new_users=True)

    class Config(TrainedConfig):
        """Settings."""

        longest: int = Field(50, ge=1, description="newest items of a history that are read")
        blocks: int = Field(1, ge=1, description="transformer blocks", json_schema_extra={"search": "1,2"})
        heads: int = Field(
            1, ge=1, description="attention heads; they divide dim", json_schema_extra={"search": "1,2,4"}
        )
        dropout: float = Field(0.3, ge=0, lt=1, description="dropout", json_schema_extra={"search": "0.1..0.6"})
        negatives: int = Field(256, ge=1, description="negative items sampled per batch")
        batch_size: int = Field(128, ge=1, description="histories of a batch")
        epochs: int = Field(100, ge=0, description="epochs at most")
        patience: int = Field(10, ge=1, description="validations without gain after which training stops")

    config: Config

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        c = self.config
        self.items = nn.Parameter(torch.randn(shape.n_items, c.dim) * 0.02)
        self.positions = nn.Parameter(torch.randn(c.longest, c.dim) * 0.02)
        block = nn.TransformerEncoderLayer(
            c.dim, c.heads, c.dim, c.dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(block, c.blocks, nn.LayerNorm(c.dim), enable_nested_tensor=False)
        self.dropout = nn.Dropout(c.dropout)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.register_buffer("warm", torch.from_numpy(train.warm_items))

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return SequenceBatches(train, self.config.longest, self.config.negatives, shared=True)

    def states(self, batch: SequenceBatch) -> Tensor:
        """What is known after each position, float32 [T, dim].

        Histories are padded on the right: under a causal mask no position sees padding.
        """
        ids = batch.padded(batch.items, 0, right=True)
        length, width = batch.lengths, ids.shape[1]
        age = (length[:, None] - 1 - torch.arange(width, device=ids.device)).clamp(min=0)
        x = self.dropout(F.embedding(ids, self.items) * self.config.dim**0.5 + self.positions[age])
        mask = nn.Transformer.generate_square_subsequent_mask(width, device=ids.device, dtype=x.dtype)
        states: Tensor = self.encoder(x, mask=mask, is_causal=True)
        return states[torch.arange(width, device=ids.device) < length[:, None]]

    def loss(self, batch: SequenceBatch) -> Mapping[str, Tensor]:
        states, drawn = self.states(batch), batch.negatives[0]
        right = (states * F.embedding(batch.targets, self.items)).sum(-1, keepdim=True)
        wrong = states @ F.embedding(drawn, self.items).T
        wrong = wrong.masked_fill(drawn[None, :] == batch.targets[:, None], -torch.inf)
        logits = torch.cat([right, wrong], 1)
        return {"loss": F.cross_entropy(logits, logits.new_zeros(len(logits), dtype=torch.int64))}

    def scorer(self) -> Scorer:
        return SequenceScorer(self)


class SequenceScorer(Scorer):
    """Scores by the state after a user's newest item; a user without a history scores zero everywhere.

    Args:
        model: trained, in evaluation mode.
    """

    def __init__(self, model: SASRec) -> None:
        super().__init__(len(model.items))
        self.model, self.warm = model.eval(), model.get_buffer("warm").cpu().numpy()

    def item_vectors(self, items: IntArray | None = None) -> Tensor:
        vectors = self.model.items.detach()
        return vectors if items is None else vectors[torch.as_tensor(items)]

    def user_vectors(self, users: UserBatch) -> Tensor:
        model, history = self.model, users.history
        with torch.no_grad():
            out = model.items.new_zeros(len(users), model.config.dim)
            some = np.flatnonzero(history.lengths > 0)
            if len(some):
                batch = _packed(history.take(some), model.config.longest).to(model.device)
                out[torch.from_numpy(some)] = model.states(batch)[batch.indptr[1:] - 1]
        return out

    def scorable(self) -> NDArray[np.bool_]:
        return self.warm


def _packed(history: RaggedArray, longest: int) -> SequenceBatch:
    lengths = np.minimum(history.lengths, longest)
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    at = np.arange(indptr[-1]) + np.repeat(history.indptr[1:] - lengths - indptr[:-1], lengths)
    items = torch.from_numpy(history.items[at])
    users = torch.full((len(history),), -1)
    return SequenceBatch(users, torch.from_numpy(indptr), items, items, items.new_zeros(len(items), 0))
