"""PPM's encoders (Gao et al., WWW 2024): texts learn from searches, pictures from the entities of items.

- Query matching (text): a query and the title of the item taken after it. Symmetric cross-entropy of
  exp(s) cos(f(query), f(title)) over the batch, one tower f for both; rows with the same words or the same item are not
  negatives.
- Entity prediction (pictures): p(e | picture) = softmax of exp(s') cos(g(picture), w_e) + b_e over all entities,
  L = -mean over the item's entities of log p(e | picture).

The paper names the inputs and targets, not the losses: both are our choice, as are small towers for BERT and
ResNet. Entities are the targets of relations that are not items (a knowledge graph) or, without any, the words of the
item's own text. Without searches, the title of an item is the query for the one its user took next. The two halves
share no weights. The rest of the paper, a model of clicks on these vectors alone, is a ranker and not here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer, Requirements, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.contrastive import clipped_scale
from palate.models.pretrain.shared.entities import EntitySource, entity_matrix
from palate.models.pretrain.shared.held_out import HeldOut, reciprocal_rank
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.queries import Queries, QuerySource, false_negatives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK, NO_QUERY = 256, -1


@pretrainers.register("ppm")
class PPM(Pretrainer):
    """Query matching for text, entity prediction for pictures."""

    name = "ppm"
    paper = "Gao et al., PPM: A Pre-trained Plug-in Model for Click-through Rate Prediction, WWW 2024"
    requirements = Requirements(content=True, queries=True)

    class Config(TrainedConfig):
        """Settings of both halves."""

        matching: bool = Field(True, description="train the text tower; else it stays as it was initialised")
        prediction: bool = Field(True, description="train the image tower; else it stays as it was initialised")
        queries: QuerySource = Field(
            "auto",
            description="typed words, the text of the previous item (next), or typed if there are any (auto)",
        )
        entities: EntitySource = Field(
            "auto", description="source of entities: targets of relations, words of texts, or what there is (auto)"
        )
        dim: int = Field(128, ge=8, description="width of the towers")
        width: int = Field(64, ge=2, description="width of the vectors")
        layers: int = Field(2, ge=1, description="layers of the text tower")
        tau: float = Field(0.07, gt=0, description="initial temperature; it is learnt")
        held: float = Field(0.1, ge=0, lt=1, description="share of the items held out for validation")
        lr: float = Field(5e-4, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})
        batch_size: int = Field(256, ge=2, description="examples a step")
        epochs: int = Field(60, ge=0, description="epochs at most")
        patience: int = Field(8, ge=1, description="validations without gain after which training stops")

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("text", "image")

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the towers, and collect queries and entities.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if both halves are off, a half's modality is absent, or neither queries nor entities are found.
        """
        c = self.config
        self.inputs = ItemInputs(train.features)
        halves = [m for m, on in (("text", c.matching), ("image", c.prediction)) if on]
        missing = [m for m in halves if m not in self.inputs]
        if missing or not halves:
            needed = f"items with {missing[0]}" if missing else "matching or prediction"
            raise ConfigError(f"{self.name} needs {needed}", key="model", hint="turn off matching or prediction")
        present = {m: self.inputs.present(m) for m in self.inputs.features if m in ("text", "image")}
        self.held_out = HeldOut(train, np.flatnonzero(np.any([*present.values()], axis=0)), c.held, self.name, run.seed)
        rows = np.arange(train.n_items)
        held_out, trained = np.isin(rows, self.held_out.eval_items), np.isin(rows, self.held_out.train_items)
        self.pairs = self.eval_pairs = np.zeros((0, 2), np.int64)
        self.entity_items = self.eval_entity_items = rows[:0]
        if c.matching:
            self.queries, text = Queries(train, c.queries, self.name, run.seed), present["text"]
            self.pairs = self.queries.pairs_between(trained, trained & text)
            self.eval_pairs = self.queries.pairs_between(trained, held_out & text)
            self.eval_titles = rows[held_out & text]
        if c.prediction:
            self.entities = entity_matrix(train, c.entities, self.name)
            usable = present["image"] & (np.diff(self.entities.indptr) > 0)
            self.entity_items, self.eval_entity_items = rows[trained & usable], rows[held_out & usable]
        if not len(self.pairs) and not len(self.entity_items):
            raise ConfigError(f"{self.name} found neither queries nor entities of items with content", key="model")
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in present}
        self.parts = nn.ModuleDict({m: tower_network(network, c.width) for m, network in self.networks.items()})
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(math.log(1 / c.tau))) for _ in range(2))
        width = self.entities.shape[1] if c.prediction else 0
        self.directions, self.bias = nn.Parameter(torch.randn(width, c.width)), nn.Parameter(torch.zeros(width))

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """(query, item), and (-1, item) for items whose entities are predicted, int64 [n, 2]."""
        single = np.stack([np.full(len(self.entity_items), NO_QUERY), self.entity_items], axis=1)
        return np.concatenate([self.pairs, single]).astype(np.int64)

    def vectors(self, modality: str, inputs: Tensor) -> Tensor:
        """Unit vectors float32 [B, width]."""
        part = self.parts[modality]
        assert isinstance(part, nn.ModuleDict)
        return vectors_of(part, inputs)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        has_query = batch.rows[:, 0] != NO_QUERY
        pairs, items = batch.rows[has_query], batch.rows[~has_query, 1]
        out = {}
        if len(pairs) > 1:
            out["matching"] = self.matching(self.queries.ids(pairs[:, 0]), pairs[:, 1])
        if len(items):
            out["prediction"] = self.prediction(items)
        return {"loss": torch.stack([*out.values()]).sum() if out else self.scales[0] * 0, **out}

    def matching(self, ids: Tensor, items: Tensor) -> Tensor:
        """Contrast of queries, as token ids [B, T], with the titles of ``items`` [B]."""
        queries, titles = self.vectors("text", ids), self.vectors("text", self.inputs.read("text", items))
        tau = 1 / clipped_scale(self.scales[0])
        return info_nce(queries, titles, tau, symmetric=True, false_negatives=false_negatives(ids, items))

    def prediction(self, items: Tensor) -> Tensor:
        """Cross-entropy of the entities of ``items`` [B], each item's own of equal weight."""
        own = torch.from_numpy(self.entities[items.cpu().numpy()].toarray()).to(items.device)
        log_probabilities = self.logits(items).log_softmax(1)
        return -((log_probabilities * own).sum(1) / own.sum(1)).mean()

    def logits(self, items: Tensor) -> Tensor:
        """Logits float32 [B, E] of all entities."""
        scale = clipped_scale(self.scales[1])
        vectors = self.vectors("image", self.inputs.read("image", items))
        cosines = vectors @ nn.functional.normalize(self.directions, dim=1).T
        return torch.addcmul(self.bias, scale, cosines)

    def validation_score(self) -> float:
        """Mean of two measures on held-out items: reciprocal rank of a query's item, precision of entities."""
        scores = []
        with torch.inference_mode():
            if len(self.eval_pairs):
                rows = torch.from_numpy(self.eval_pairs[:, 0]).to(self.device).split(CHUNK)
                titles = torch.from_numpy(self.eval_titles).to(self.device).split(CHUNK)
                a = torch.cat([self.vectors("text", self.queries.ids(part)) for part in rows])
                b = torch.cat([self.vectors("text", self.inputs.read("text", part)) for part in titles])
                target = torch.from_numpy(np.searchsorted(self.eval_titles, self.eval_pairs[:, 1])).to(self.device)
                scores.append(reciprocal_rank(a, b, target))
            if len(self.eval_entity_items):
                parts = torch.from_numpy(self.eval_entity_items).to(self.device).split(CHUNK)
                ranks = torch.cat([self.logits(part) for part in parts]).argsort(1, descending=True).argsort(1)
                own = torch.from_numpy(self.entities[self.eval_entity_items].toarray()).to(self.device)
                count = own.sum(1, keepdim=True)
                scores.append(float(((own & (ranks < count)).sum(1) / count[:, 0]).mean()))
        return float(np.mean(scores)) if scores else float("nan")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            m: Tower(readers[m], self.networks[m], self.config.width).load_weights(part.state_dict(), fitted_on)
            for m, part in self.parts.items()
        }
