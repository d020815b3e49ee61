"""ItemSage (Baltescu et al., KDD 2022): one product vector from several modalities and all kinds of engagement.

[CLS] and one token a modality through one Transformer layer, two layers on [CLS], unit length. For a pair (q, p) and
s = cos / tau: two softmaxes, L = L_pos + L_neg; in L_pos the other products of the batch are the negatives, in L_neg
random ones, each with s - log Q of how it was drawn. Every kind of engagement is a task of the same size, with the same
loss and no head of its own.

Our choices: a query goes through the same network, as a product or as words alone (the paper's come from fixed PinSage
and SearchSage). Features are towers trained along or, as in the paper, frozen vectors. Tasks are ``next`` (the product
a user took after it), ``search`` (the product they took for words they typed) and each item-item relation of the data;
Q is counted, not sketched; no graph embedding. The paper's ablations are settings: ``combine``, ``softmaxes``,
``tasks``, ``modalities``, ``blocks``. Modalities are dropped at random in training, so that each can be exported as an
encoder of its own and the net does not memorise items by all that they show.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import Requirements, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import rng_for
from palate.features.encoders.tower import vectors_of
from palate.losses.ranking import sampled_softmax
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.interactions import next_pairs, pairs_within
from palate.models.pretrain.shared.items import ItemPretrainer
from palate.models.pretrain.shared.queries import Queries

if TYPE_CHECKING:
    from palate.data.views import TrainView

MAX_EVAL_PAIRS = 1000
NEXT, SEARCH = "next", "search"


@pretrainers.register("itemsage")
class ItemSage(ItemPretrainer):
    """Product embeddings for shopping recommendations."""

    name = "itemsage"
    paper = "Baltescu et al., ItemSage: Learning Product Embeddings for Shopping Recommendations, KDD 2022"
    requirements = Requirements(content=True, queries=True)

    class Config(ItemPretrainer.Config):
        """Settings of the Transformer, the softmaxes and the tasks."""

        combine: Literal["transformer", "perceptron", "mean"] = Field(
            "transformer", description="fusion of the modalities"
        )
        blocks: int = Field(1, ge=1, description="layers of the Transformer")
        heads: int = Field(4, ge=1, description="attention heads of the Transformer")
        tau: float = Field(0.1, gt=0, description="temperature", json_schema_extra={"search": "0.03..0.5:log"})
        random: int = Field(256, ge=1, description="random negatives of a batch, in L_neg")
        softmaxes: Literal["both", "batch", "random", "mixed"] = Field(
            "both", description="both softmaxes, one of them, or a single one over all negatives (mixed)"
        )
        tasks: tuple[str, ...] = Field((), description="tasks to learn from; all if empty")
        modalities: tuple[Literal["text", "image", "audio"], ...] = Field(
            (), description="modalities that products show, all if empty; queries are words nevertheless"
        )

    config: Config

    def select_modalities(self, inputs: ItemInputs) -> tuple[str, ...]:
        shown: tuple[str, ...] = self.config.modalities or tuple(inputs.features)
        typed = ("text",) if self.has_searches and self.includes(SEARCH) else ()
        return tuple(m for m in inputs.features if m in shown or m in typed)

    def query_only(self) -> tuple[str, ...]:
        return () if not self.config.modalities or "text" in self.config.modalities else ("text",)

    def fusion_config(self) -> dict[str, Any]:
        c = self.config
        if c.combine == "transformer":
            return {"kind": "transformer", "dim": c.dim, "width": c.width, "layers": c.blocks, "heads": c.heads}
        return {"kind": c.combine, "dim": c.width if c.combine == "mean" else c.dim, "width": c.width}

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the towers, and collect the tasks.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if a named task does not exist or no task has pairs, or as in :meth:`ItemPretrainer.setup`.
        """
        self.has_searches = train.query_features is not None and bool(len(train.searches or ()))
        super().setup(train, run)
        self.n_items, held_out = train.n_items, self.held_out
        # random negatives come from the whole catalogue, since items without positives are ranked as well
        self.pool = np.setdiff1d(np.flatnonzero(self.views.presence.numpy().any(1)), held_out.eval_items)
        pairs = self.engagement(train, run)
        # rows of queries come after those of items, and none of them is held out
        rows = np.arange(max([self.n_items, *(int(of.max()) + 1 for of in pairs.values() if len(of))]))
        trained = np.isin(rows, held_out.train_items) | (rows >= self.n_items)
        kept_out = np.isin(rows, held_out.eval_items)
        usable = {name: within for name, of in pairs.items() if len(within := pairs_within(of, trained))}
        self.tasks = {name: of for name, of in usable.items() if self.includes(name)}
        if not self.tasks:
            raise ConfigError(f"{self.name} found no pairs of items with content", key="tasks")
        # a task that is left out gives its share of an epoch to the others
        self.size = max(map(len, usable.values())) * len(usable) // len(self.tasks)
        candidates = [of[trained[of[:, 0]] & kept_out[of[:, 1]]] for name, of in pairs.items() if self.includes(name)]
        rng = rng_for(run.seed, "asked", self.name)
        self.eval_pairs = rng.permutation(np.concatenate(candidates))[:MAX_EVAL_PAIRS]
        drawn = sum(np.bincount(of[:, 1], minlength=train.n_items) / len(of) for of in self.tasks.values())
        chance = torch.from_numpy(np.asarray(drawn) / len(self.tasks)).float()
        self.register_buffer("log_chance", chance.clamp(min=torch.finfo(chance.dtype).tiny).log(), persistent=False)

    def engagement(self, train: TrainView, run: RunContext) -> dict[str, IntArray]:
        """Pairs of each task.

        Args:
            train: training view.
            run: seed of what is drawn.

        Returns:
            Task -> (query, product) int64 [n, 2].

        Raises:
            ConfigError: if a task named in the settings does not exist.
        """
        pairs = {NEXT: next_pairs(train, rng_for(run.seed, "next", self.name))}
        for name, edges in train.relations.edges.items():
            if edges.target_kind == "item" and not name.startswith("knn_"):
                related = np.stack([edges.source, edges.target], axis=1).astype(np.int64)
                pairs[name] = related[related[:, 0] != related[:, 1]]
        if self.has_searches:
            self.queries = Queries(train, "typed", self.name, run.seed)
            pairs[SEARCH] = self.queries.pairs + np.array([self.n_items, 0])
        for name in self.config.tasks:
            if name not in pairs:
                hint = did_you_mean(name, pairs)
                raise ConfigError(f"{self.name} found no such task in the data", key=name, hint=hint)
        return pairs

    def includes(self, task: str) -> bool:
        """Whether a task is among those to learn from."""
        return not self.config.tasks or task in self.config.tasks

    def encode(self, rows: Tensor) -> Tensor:
        """Unit vectors float32 [B, width] of items, and of queries by their words."""
        is_query = rows >= self.n_items
        if not is_query.any():
            return super().encode(rows)
        out = torch.zeros(len(rows), self.config.width, device=rows.device)
        words = np.asarray(self.queries.values[(rows[is_query] - self.n_items).cpu().numpy()], np.float32)
        out[is_query] = vectors_of(self.views.part("text"), torch.from_numpy(words).to(rows.device))
        if not is_query.all():
            out[~is_query] = super().encode(rows[~is_query])
        return out

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """(query, product) int64 [n, 2]; tasks are repeated to the same size, so that batches hold equal shares."""
        return np.concatenate([np.resize(pairs, (self.size, 2)) for pairs in self.tasks.values()])

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        pool = torch.from_numpy(self.pool)
        drawn = pool[torch.randint(len(pool), (self.config.random,))].to(batch.rows.device)
        rows, place = torch.cat([batch.rows.T.reshape(-1), drawn]).unique(return_inverse=True)
        vectors = self.encode(rows)[place]
        n = len(batch)
        queries, products = vectors[:n], vectors[n:]
        return self.terms(queries @ products.T, batch.rows, rows[place[n:]])

    def terms(self, scores: Tensor, pairs: Tensor, products: Tensor) -> dict[str, Tensor]:
        """Terms of the loss.

        Args:
            scores: float [B, B + r], cosines of queries with the batch's products, then with random ones.
            pairs: int64 [B, 2], query and product.
            products: int64 [B + r], the items of the columns.

        Returns:
            ``loss``, and the softmaxes by name.
        """
        c, n = self.config, len(pairs)
        assert isinstance(self.log_chance, Tensor)
        own = scores[:, :n].diagonal()
        # neither the product itself nor the query is a negative
        mask = (products != pairs[:, 1:]) & (products != pairs[:, :1])
        uniform = scores.new_full((scores.shape[1] - n,), -float(np.log(len(self.pool))))
        log_q = torch.cat([self.log_chance[products[:n]], uniform])
        columns = {"batch": (slice(0, n), log_q[:n]), "random": (slice(n, None), uniform.mean().expand(n))}
        columns["mixed"] = (slice(None), log_q[:n])
        chosen = ("batch", "random") if c.softmaxes == "both" else (c.softmaxes,)
        out = {
            name: sampled_softmax(
                own, scores[:, part], log_q_pos=log_pos, log_q_neg=log_q[part], mask=mask[:, part], tau=c.tau
            )
            for name, (part, log_pos) in ((name, columns[name]) for name in chosen)
        }
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def validation_score(self) -> float:
        """Mean reciprocal rank of held-out products among the held-out items, over all tasks."""
        items = self.held_out.eval_items
        target = torch.from_numpy(np.searchsorted(items, self.eval_pairs[:, 1])).to(self.device)
        return reciprocal_rank(self.encode_all(self.eval_pairs[:, 0]), self.encode_all(items), target)
