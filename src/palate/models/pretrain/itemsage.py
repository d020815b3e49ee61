"""ItemSage (Baltescu et al., KDD 2022): one product vector from several modalities and all kinds of engagement.

[CLS] and one token a modality through one Transformer layer, two layers on [CLS], unit length. For a pair (q, p) and
s = cos / tau: two softmaxes, L = L_pos + L_neg; in L_pos the other products of the batch are the negatives, in L_neg
random ones, each with s - log Q of how it was drawn. Every kind of engagement is a task of the same size, with the same
loss and no head of its own.

Our choices: a query goes through the same network, as a product or as words alone (the paper's come from fixed PinSage
and SearchSage). Features are towers trained along or, as in the paper, frozen vectors. Tasks are ``next`` (what a user
took after it), ``search`` (what they took for words they typed) and each item-item relation of the data; Q is counted,
not sketched; no graph embedding. The paper's ablations are settings: ``combine``, ``softmaxes``, ``tasks``,
``modalities``, ``blocks``. Modalities are hidden at random in training, so that each can be exported as an encoder of
its own and the net does not learn items by heart from all they show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.core.batch import ExampleBatch, IntArray
from palate.core.errors import ConfigError, did_you_mean
from palate.core.model import Requirements, pretrainers
from palate.core.seeding import rng_for
from palate.features.encoders.tower import vectors_of
from palate.losses.ranking import sampled_softmax
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.interactions import among, next_pairs
from palate.models.pretrain.shared.items import ItemPretrainer
from palate.models.pretrain.shared.queries import Queries

if TYPE_CHECKING:
    from palate.data.views import TrainView

JUDGED = 1000
NEXT, SEARCH = "next", "search"


@pretrainers.register("itemsage")
class ItemSage(ItemPretrainer):
    """Product embeddings for shopping recommendations."""

    name = "itemsage"
    paper = "Baltescu et al., ItemSage: Learning Product Embeddings for Shopping Recommendations, KDD 2022"
    requirements = Requirements(batch="examples", content=True, queries=True)

    class Config(ItemPretrainer.Config):
        """Settings.

        Attributes:
            combine: how modalities meet. blocks, heads: of the Transformer. tau: temperature.
            random: negatives of L_neg.
            softmaxes: both apart, one alone, or one over the union (``mixed``).
            tasks: which to learn from. modalities: in which products are shown; queries are words. All if empty.
        """

        combine: Literal["transformer", "perceptron", "mean"] = "transformer"
        blocks: int = Field(1, ge=1)
        heads: int = Field(4, ge=1)
        tau: float = Field(0.1, gt=0)
        random: int = Field(256, ge=1)
        softmaxes: Literal["both", "batch", "random", "mixed"] = "both"
        tasks: tuple[str, ...] = ()
        modalities: tuple[Literal["text", "image", "audio"], ...] = ()

    def wanted(self, inputs: ItemInputs) -> tuple[str, ...]:
        shown = self.config.modalities or tuple(inputs.features)
        typed = ("text",) if self.searched and self.asks(SEARCH) else ()
        return tuple(m for m in inputs.features if m in shown or m in typed)

    def unshown(self) -> tuple[str, ...]:
        return () if not self.config.modalities or "text" in self.config.modalities else ("text",)

    def combination(self) -> dict[str, Any]:
        c = self.config
        if c.combine == "transformer":
            return {"kind": "transformer", "dim": c.dim, "width": c.width, "layers": c.blocks, "heads": c.heads}
        return {"kind": c.combine, "dim": c.width if c.combine == "mean" else c.dim, "width": c.width}

    def setup(self, train: TrainView) -> None:
        self.searched = train.query_features is not None and bool(len(train.searches or ()))
        super().setup(train)
        self.n_items, held = train.n_items, self.held
        # the whole catalogue, for what nobody took yet is found as well
        self.pool = np.setdiff1d(np.flatnonzero(self.views.known.numpy().any(1)), held.kept)
        pairs = self.engagement(train)
        # rows of queries come after those of items, and none of them is held out
        rows = np.arange(max([self.n_items, *(int(of.max()) + 1 for of in pairs.values() if len(of))]))
        trained, kept = np.isin(rows, held.trained) | (rows >= self.n_items), np.isin(rows, held.kept)
        known = {name: found for name, of in pairs.items() if len(found := among(of, trained))}
        self.tasks = {name: of for name, of in known.items() if self.asks(name)}
        if not self.tasks:
            raise ConfigError(f"{self.name} found no pairs of items with content", key="tasks")
        # a task that is left out leaves its share of an epoch to the others
        self.size = max(map(len, known.values())) * len(known) // len(self.tasks)
        asked = [of[trained[of[:, 0]] & kept[of[:, 1]]] for name, of in pairs.items() if self.asks(name)]
        self.asked = rng_for(train.seed, "asked", self.name).permutation(np.concatenate(asked))[:JUDGED]
        drawn = sum(np.bincount(of[:, 1], minlength=train.n_items) / len(of) for of in self.tasks.values())
        chance = torch.from_numpy(np.asarray(drawn) / len(self.tasks)).float()
        self.register_buffer("log_chance", chance.clamp(min=torch.finfo(chance.dtype).tiny).log(), persistent=False)

    def engagement(self, train: TrainView) -> dict[str, IntArray]:
        """(query, product) pairs int64 [n, 2] of each task."""
        found = {NEXT: next_pairs(train, rng_for(train.seed, "next", self.name))}
        for name, edges in train.relations.edges.items():
            if edges.target_kind == "item" and not name.startswith("knn_"):
                pairs = np.stack([edges.source, edges.target], axis=1).astype(np.int64)
                found[name] = pairs[pairs[:, 0] != pairs[:, 1]]
        if self.searched:
            self.queries = Queries(train, "typed", self.name)
            found[SEARCH] = self.queries.pairs + np.array([self.n_items, 0])
        for name in self.config.tasks:
            if name not in found:
                raise ConfigError(
                    f"{self.name} has no such task in these data", key=name, hint=did_you_mean(name, found)
                )
        return found

    def asks(self, task: str) -> bool:
        """Whether to learn from it."""
        return not self.config.tasks or task in self.config.tasks

    def encode(self, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width] of items, and of queries by their words."""
        said = rows >= self.n_items
        if not said.any():
            return super().encode(rows)
        out = torch.zeros(len(rows), self.config.width, device=rows.device)
        typed = np.asarray(self.queries.values[(rows[said] - self.n_items).cpu().numpy()], np.float32)
        out[said] = vectors_of(self.views.part("text"), torch.from_numpy(typed).to(rows.device))
        if not said.all():
            out[~said] = super().encode(rows[~said])
        return out

    def examples(self, view: TrainView) -> IntArray:
        """(query, product): tasks repeated to the same size, so that batches hold equal shares."""
        return np.concatenate([np.resize(pairs, (self.size, 2)) for pairs in self.tasks.values()])

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.pool)
        drawn = pool[torch.randint(len(pool), (self.config.random,))].to(batch.rows.device)
        rows, place = torch.cat([batch.rows.T.reshape(-1), drawn]).unique(return_inverse=True)
        vectors = self.encode(rows)[place]
        n = len(batch)
        asked, given = vectors[:n], vectors[n:]
        scores, products = asked @ given.T, rows[place[n:]]
        return self.terms(scores, batch.rows, products)

    def terms(self, scores: Tensor, pairs: Tensor, products: Tensor) -> dict[str, Tensor]:
        """The terms of the loss.

        Args:
            scores: cosines [B, B + r] of queries with the batch's products, then with random ones.
            pairs: int64 [B, 2], query and product. products: int64 [B + r], which items the columns are.
        """
        c, n = self.config, len(pairs)
        assert isinstance(self.log_chance, Tensor)
        own = scores[:, :n].diagonal()
        # neither the product again nor the query itself is a negative
        counts = (products != pairs[:, 1:]) & (products != pairs[:, :1])
        uniform = scores.new_full((scores.shape[1] - n,), -float(np.log(len(self.pool))))
        log_q = torch.cat([self.log_chance[products[:n]], uniform])
        made = {"batch": (slice(0, n), log_q[:n]), "random": (slice(n, None), uniform.mean().expand(n))}
        made["mixed"] = (slice(None), log_q[:n])
        chosen = ("batch", "random") if c.softmaxes == "both" else (c.softmaxes,)
        out = {
            name: sampled_softmax(
                own, scores[:, part], log_q_pos=log_pos, log_q_neg=log_q[part], mask=counts[:, part], tau=c.tau
            )
            for name, (part, log_pos) in ((name, made[name]) for name in chosen)
        }
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def validation_score(self) -> float:
        """Mean reciprocal rank of kept products among the kept items, over all tasks."""
        place = torch.from_numpy(np.searchsorted(self.held.kept, self.asked[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.asked[:, 0]), self.encode_all(self.held.kept), place)
