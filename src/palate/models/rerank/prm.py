"""PRM (Pei et al., RecSys 2019): a transformer reads a whole list, and orders it again.

x_i = W [v_i, v_i * h_u, z_i, missing_i] + position_i, logit = w z_i + out(transformer(x))_i, softmax cross-entropy over
the list. v_i is the vector of item i, h_u the mean over the user's history (v_i * h_u is the personal vector), z_i the
z-score of the first stage's score. It contributes mutual influence: what an item is worth depends on the list.

What it learns from: ``held`` of each user's training positives, the newest, are kept from a second matcher of the same
settings; its lists for these users are the inputs, the positives kept from it the labels. Validation is no label. Item
vectors are those of the second matcher too, for vectors of two fits do not share a space; an item that it lacks is
marked as missing. Our choices: the first stage's score is added to the logit and the output starts at zero, so that
training starts from the first stage's order; layers are normalised before attention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.batches.lists import ListBatch
from palate.contracts import Matcher, Phase, models
from palate.contracts.parse import parse_model
from palate.core.batch import BatchSource, IntArray, RaggedArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.seeding import seed_torch
from palate.data.views import TrainView
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.held_lists import hold_out, labels_of, with_labels
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.greedy import standardised, unit_vectors
from palate.ranking.scorer import Scorer, mean_of
from palate.training.fit import fit_member


class ListEncoder(nn.Module):
    """Logits of the items of lists.

    Args:
        width: of item vectors.
        dim: of the transformer.
        length: positions that are told apart.
        heads: attention heads; they divide ``dim``.
        blocks: transformer blocks.
        dropout: dropout.
    """

    def __init__(self, width: int, dim: int, length: int, heads: int, blocks: int, dropout: float) -> None:
        super().__init__()
        self.enter = nn.Linear(2 * width + 2, dim)
        self.positions = nn.Parameter(torch.randn(length, dim) * 0.02)
        block = nn.TransformerEncoderLayer(
            dim, heads, 2 * dim, dropout, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(block, blocks, nn.LayerNorm(dim), enable_nested_tensor=False)
        self.out = nn.Linear(dim, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.first = nn.Parameter(torch.ones(()))

    def forward(self, vectors: Tensor, batch: ListBatch) -> Tensor:
        """Logits of a batch: [B, n], -inf at places without a candidate.

        Args:
            vectors: [B, n, width], zeros for items without one.
            batch: the lists.
        """
        scores, missing = batch.scores[..., None], (vectors == 0).all(-1, keepdim=True).float()
        x = self.enter(torch.cat([vectors, vectors * batch.taste[:, None], scores, missing], -1))
        place = torch.arange(x.shape[1], device=x.device).clamp(max=len(self.positions) - 1)
        # a list without candidates would have nothing to attend to
        hidden = ~batch.known & batch.known.any(1, keepdim=True)
        states = self.encoder(x + self.positions[place], src_key_padding_mask=hidden)
        logits: Tensor = self.out(states)[..., 0] + self.first * batch.scores
        return logits.masked_fill(~batch.known, -torch.inf)


@models.register("prm")
class PRM(ListReranker):
    """Lists in the order that a transformer learnt from held-out positives."""

    name = "prm"
    paper = "Pei et al., Personalized Re-ranking for Recommendation, RecSys 2019"

    class Config(VectorRerankConfig, TrainedConfig):
        """Settings."""

        depth: int = Field(50, ge=2, description="candidates of a list at least")
        held: float = Field(0.2, gt=0, lt=1, description="part of a user's training positives that are labels")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")
        blocks: int = Field(1, ge=1, description="transformer blocks", json_schema_extra={"search": "1,2"})
        dropout: float = Field(0.2, ge=0, lt=1, description="dropout", json_schema_extra={"search": "0.0..0.5"})
        batch_size: int = Field(128, ge=0, description="lists of a batch")
        epochs: int = Field(50, ge=0, description="epochs at most")
        patience: int = Field(5, ge=1, description="validations without gain after which training stops")

    config: Config
    _units: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None

    def solve(self, train: TrainView, run: RunContext) -> bool:
        super().solve(train, run)
        kept, held = hold_out(train, self.config.held, run.seed)
        second = parse_model(self.selected_settings()["base"])
        assert isinstance(second, Matcher)
        fit_member(second, kept, run.member("second"))
        with torch.inference_mode():
            scorer = second.scorer()
            raw = super().item_vectors_of(scorer)
            assert raw is not None
            table = unit_vectors(raw[None])[0][0]
            asked = np.flatnonzero((held.lengths > 0) & (kept.history.lengths > 0))
            users = kept.user_batch(asked)
            allowed = scorer.scorable() & kept.visible_items
            ids, scores = scorer.topk(users, self.config.depth, users.history, allowed)
        known, labels = ids >= 0, labels_of(ids, held.take(asked), train.n_items)
        taste = mean_of(torch.from_numpy(table), users.history).numpy()
        self.lists = with_labels(np.maximum(ids, 0), known, _relevance(scores, known), taste, labels)
        self.register_buffer("table", None if self.feature else torch.from_numpy(table))
        self.base.requires_grad_(False)
        seed_torch(run.seed, "init", self.name)
        self._make_network(table.shape[1])
        return not len(self.lists)

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return self.lists

    def phases(self) -> list[Phase]:
        return [self.phase("lists", groups=list(self.network.parameters()))]

    def loss(self, batch: ListBatch) -> Mapping[str, Tensor]:
        vectors = torch.from_numpy(self._vectors()[batch.items.cpu().numpy()]).to(self.device)
        log = self.network(vectors, batch).log_softmax(1).masked_fill(~batch.known, 0)
        return {"loss": -((log * batch.labels).sum(1) / batch.labels.sum(1)).mean()}

    def scorer(self) -> Scorer:
        self.eval()
        return super().scorer()

    def item_vectors_of(self, first: Scorer) -> NDArray[np.float32]:
        vectors = self._vectors()
        return np.pad(vectors, ((0, max(first.n_items - len(vectors), 0)), (0, 0)))

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        vectors, users = lists.vectors, lists.users
        history = RaggedArray.of([[]] * len(lists.ids)) if users is None else users.history
        taste = mean_of(torch.from_numpy(lists.item_vectors), history)
        ids, known = torch.from_numpy(lists.ids), torch.from_numpy(lists.known)
        scores = torch.from_numpy(_relevance(lists.scores, lists.known))
        batch = ListBatch(ids, known, scores, taste, torch.zeros(ids.shape)).to(self.device)
        with torch.no_grad():
            logits = self.network(torch.from_numpy(vectors).to(self.device), batch).cpu().numpy()
        order = np.argsort(-logits, axis=1, kind="stable")[:, :k]
        return np.where(np.take_along_axis(lists.known, order, 1), order, -1)

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "width": self._width}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        super().load_extra_state(state)
        self._make_network(int(state["width"]))

    def _make_network(self, width: int) -> None:
        c, self._width = self.config, width
        self.network = ListEncoder(width, c.dim, c.depth, c.heads, c.blocks, c.dropout)

    def _vectors(self) -> NDArray[np.float32]:
        """Unit vectors of items: float32 [n_items, width]."""
        if not self.feature:
            return self.get_buffer("table").cpu().numpy()
        assert self.content is not None
        if self._units is None or self._units[0] is not self.content:
            self._units = self.content, unit_vectors(self.content[None])[0][0]
        return self._units[1]


def _relevance(scores: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    return standardised(np.where(known, scores, 0), known)
