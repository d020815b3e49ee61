"""PPM's encoders (Gao et al., WWW 2024): words learn from what people searched for, pictures from what items are.

- Query matching (text): a query and the title of the item taken after it. Symmetric cross-entropy of
  exp(s) cos(f(query), f(title)) over the batch, one tower f for both; the same words or the same item are no negatives.
- Entity prediction (pictures): p(e | picture) = softmax of exp(s') cos(g(picture), w_e) + b_e over all entities,
  L = -mean over the item's entities of log p(e | picture).

The paper says what is matched and predicted, not by which loss: both are our choice, as are small towers for BERT and
ResNet. Entities are the targets of relations that are no items (a knowledge graph) or, without any, the words of the
item's own text. Where nobody searched, the title of an item asks for the one its user took next. The two halves share
no weights. What follows in the paper, a model of clicks on these vectors alone, is a ranker and not here.
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
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.losses.contrastive import info_nce

from ._contrast import MOST_SCALE
from ._entities import Names, entities_of
from ._held import HeldOut, reciprocal_rank
from ._inputs import ItemInputs
from ._queries import Queries, Source, alike

if TYPE_CHECKING:
    from collections.abc import Mapping

    from palate.data.views import TrainView

CHUNK, NOBODY = 256, -1


@pretrainers.register("ppm")
class PPM(Pretrainer):
    """Query matching for text, entity prediction for pictures."""

    name = "ppm"
    paper = "Gao et al., PPM: A Pre-trained Plug-in Model for Click-through Rate Prediction, WWW 2024"
    requirements = Requirements(content=True, queries=True)

    class Config(TrainedConfig):
        """Settings.

        Attributes:
            matching, prediction: which halves are trained; a tower of the other stays as it was drawn.
            queries: see :class:`Queries`. entities: see :func:`entities_of`. dim, layers: of the towers.
            width: of the vectors. tau: first temperature; it is learnt. held: share of items kept out to judge.
        """

        matching: bool = True
        prediction: bool = True
        queries: Source = "auto"
        entities: Names = "auto"
        dim: int = Field(128, ge=8)
        width: int = Field(64, ge=2)
        layers: int = Field(2, ge=1)
        tau: float = Field(0.07, gt=0)
        held: float = Field(0.1, ge=0, lt=1)
        lr: float = Field(5e-4, gt=0)
        batch_size: int = Field(256, ge=2)
        epochs: int = Field(60, ge=0)
        patience: int = Field(8, ge=1)

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("text", "image")

    def setup(self, train: TrainView) -> None:
        c = self.config
        self.inputs = ItemInputs(train.features)
        halves = [m for m, on in (("text", c.matching), ("image", c.prediction)) if on]
        missing = [m for m in halves if m not in self.inputs]
        if missing or not halves:
            what = f"items with {missing[0]}" if missing else "matching or prediction"
            raise ConfigError(f"{self.name} needs {what}", key="model", hint="turn off matching or prediction")
        there = {m: self.inputs.present(m) for m in self.inputs.features if m in ("text", "image")}
        self.held = HeldOut(train, np.flatnonzero(np.any([*there.values()], axis=0)), c.held, self.name)
        rows = np.arange(train.n_items)
        kept, trained = np.isin(rows, self.held.kept), np.isin(rows, self.held.trained)
        self.pairs = self.asked = np.zeros((0, 2), np.int64)
        self.named = self.shown = rows[:0]
        if c.matching:
            self.queries, text = Queries(train, c.queries, self.name), there["text"]
            self.pairs = self.queries.between(trained, trained & text)
            self.asked = self.queries.between(trained, kept & text)
            self.titled = rows[kept & text]
        if c.prediction:
            self.entities = entities_of(train, c.entities, self.name)
            known = there["image"] & (np.diff(self.entities.indptr) > 0)
            self.named, self.shown = rows[trained & known], rows[kept & known]
        if not len(self.pairs) and not len(self.named):
            raise ConfigError(f"{self.name} found neither queries nor entities of items with content", key="model")
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in there}
        self.parts = nn.ModuleDict({m: tower_network(network, c.width) for m, network in self.networks.items()})
        self.scales = nn.ParameterList(nn.Parameter(torch.tensor(math.log(1 / c.tau))) for _ in range(2))
        width = self.entities.shape[1] if c.prediction else 0
        self.directions, self.bias = nn.Parameter(torch.randn(width, c.width)), nn.Parameter(torch.zeros(width))

    def examples(self, view: TrainView) -> IntArray:
        """(query, item), and (-1, item) for items that entities are predicted of."""
        alone = np.stack([np.full(len(self.named), NOBODY), self.named], axis=1)
        return np.concatenate([self.pairs, alone]).astype(np.int64)

    def vectors(self, modality: str, inputs: Tensor) -> Tensor:
        """Unit vectors float32 [B, width]."""
        part = self.parts[modality]
        assert isinstance(part, nn.ModuleDict)
        return vectors_of(part, inputs)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        asked = batch.rows[:, 0] != NOBODY
        pairs, items = batch.rows[asked], batch.rows[~asked, 1]
        out = {}
        if len(pairs) > 1:
            out["matching"] = self.matching(self.queries.ids(pairs[:, 0]), pairs[:, 1])
        if len(items):
            out["prediction"] = self.prediction(items)
        return {"loss": torch.stack([*out.values()]).sum() if out else self.scales[0] * 0, **out}

    def matching(self, asked: Tensor, items: Tensor) -> Tensor:
        """Contrast of queries' token ids [B, T] with the titles of ``items`` [B]."""
        queries, titles = self.vectors("text", asked), self.vectors("text", self.inputs.read("text", items))
        tau = 1 / self.scales[0].exp().clamp(max=MOST_SCALE)
        return info_nce(queries, titles, tau, symmetric=True, false_negatives=alike(asked, items))

    def prediction(self, items: Tensor) -> Tensor:
        """Cross-entropy of the entities of ``items`` [B], each item's own of equal weight."""
        own = torch.from_numpy(self.entities[items.cpu().numpy()].toarray()).to(items.device)
        found = self.logits(items).log_softmax(1)
        return -((found * own).sum(1) / own.sum(1)).mean()

    def logits(self, items: Tensor) -> Tensor:
        """Of all entities [B, E]."""
        scale = self.scales[1].exp().clamp(max=MOST_SCALE)
        found = self.vectors("image", self.inputs.read("image", items))
        cosines = found @ nn.functional.normalize(self.directions, dim=1).T
        return torch.addcmul(self.bias, scale, cosines)

    def validation_score(self) -> float:
        """Mean of what can be asked of kept items: the reciprocal rank of a query's item, precision of entities."""
        scores = []
        with torch.inference_mode():
            if len(self.asked):
                rows = torch.from_numpy(self.asked[:, 0]).to(self.device).split(CHUNK)
                titles = torch.from_numpy(self.titled).to(self.device).split(CHUNK)
                a = torch.cat([self.vectors("text", self.queries.ids(part)) for part in rows])
                b = torch.cat([self.vectors("text", self.inputs.read("text", part)) for part in titles])
                place = torch.from_numpy(np.searchsorted(self.titled, self.asked[:, 1])).to(self.device)
                scores.append(reciprocal_rank(a, b, place))
            if len(self.shown):
                parts = torch.from_numpy(self.shown).to(self.device).split(CHUNK)
                ranks = torch.cat([self.logits(part) for part in parts]).argsort(1, descending=True).argsort(1)
                own = torch.from_numpy(self.entities[self.shown].toarray()).to(self.device)
                count = own.sum(1, keepdim=True)
                scores.append(float(((own & (ranks < count)).sum(1) / count[:, 0]).mean()))
        return float(np.mean(scores)) if scores else float("nan")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            m: Tower(readers[m], self.networks[m], self.config.width).take_weights(part.state_dict(), fitted_on)
            for m, part in self.parts.items()
        }
