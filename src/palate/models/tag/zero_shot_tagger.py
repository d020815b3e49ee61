"""Zero-shot tagger: an item gets the labels whose words its content resembles; no labelled item is needed.

s_il = mean over the modalities m of item i of z(cos(x_im - mean x_m, t_l - mean t)), where t_l is MiniLM's vector of
``prompt`` with the words of label l, x_im MiniLM's vector of the item's texts (Reimers & Gurevych, EMNLP 2019) or
ConSE's of its picture (Norouzi et al., ICLR 2014), and z standardises the cosines of a label over the catalogue, since
some words are near to everything. Exactly one label: softmax of ``steepness`` s. Several: sigmoid of ``steepness``
(s - s0), with one s0 that leaves an item ``expected`` labels on average. Where some items are labelled, those that are
held out choose the thresholds; nothing else is learnt from labels.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec, Requirements, models
from palate.core.batch import RaggedArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.encoders.minilm import MiniLM
from palate.features.feature_spec import FeatureSpec
from palate.features.labels import ItemLabels
from palate.features.plan import ContentPlan
from palate.models.tag.shared.tagging_model import TaggingModel, ThresholdConfig

READERS = {"text": "minilm", "image": "conse"}
"""Modality -> the encoder that puts it into the space of MiniLM's sentences."""

SAMPLE = 20_000
"""Items from which means and deviations are taken, at most."""

Floats = NDArray[np.float32]


@models.register("zero_shot_tagger")
class ZeroShotTagger(TaggingModel):
    """Labels of items by the likeness of their words to texts and pictures.

    Attributes:
        words: float32 [labels, d], centred unit vectors of the labels.
        means: float32 [features, d], mean vector of the items.
        locations: float32 [features, labels], mean cosine with each label.
        scales: float32 [features, labels], its standard deviation.
        offset: float32 [1], the likeness from which a label is as likely as not.
    """

    words: Tensor
    means: Tensor
    locations: Tensor
    scales: Tensor
    offset: Tensor

    name = "zero_shot_tagger"
    paper = "Norouzi et al., Zero-Shot Learning by Convex Combination of Semantic Embeddings, ICLR 2014"
    capabilities = Capabilities(new_items=True, content=True)
    requirements = Requirements(content=True)

    class Config(ThresholdConfig):
        """Settings of the zero-shot tagger."""

        labels: tuple[str, ...] = Field((), description="the labels; those that items have if not given")
        prompt: str = Field("{label}", description="sentence that stands for a label; {label} is replaced by its words")
        expected: float = Field(2.0, gt=0, description="labels of an item on average, where an item may have several")
        steepness: float = Field(2.0, gt=0, description="how fast probabilities change with the likeness")

    config: Config

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        """Texts by MiniLM and pictures by ConSE, whatever reads them in the plan; features that are in that space stay.

        Args:
            plan: encoders by feature name.
            data: the dataset.

        Raises:
            ConfigError: for data without texts and pictures.
        """
        kept = {name: spec for name, spec in plan.features.items() if _base(spec.encoder) in READERS.values()}
        known, planned = ({one.modality for one in specs.values()} for specs in (kept, plan.features))
        for modality, encoder in READERS.items():
            if modality in planned - known and data.items.columns(modality):
                kept[modality] = FeatureSpec(modality, encoder)
        found = super().readable_content(ContentPlan(kept, plan.store, encoders=plan.encoders), data)
        if not found.features:
            raise ConfigError(f"{self.name} reads texts and pictures, the data has none", key="model")
        return found

    def find_column(self, items: Catalog) -> str:
        # labels that are given may be of a column that is to be made
        return self.config.column if self.config.labels and self.config.column else super().find_column(items)

    def learnable(self, found: ItemLabels) -> ItemLabels:
        if not self.config.labels:
            return super().learnable(found)
        if len(set(self.config.labels)) < max(len(self.config.labels), 2):
            raise ConfigError("two different labels at least, each once", key="labels", hint="labels=[red, blue]")
        place = {name.lower(): at for at, name in enumerate(found.names)}
        known = [place.get(name.lower(), -1) for name in self.config.labels]
        to = np.full(len(found.names) + 1, -1)
        to[known] = np.arange(len(known))
        items = to[found.lists.items]
        rows = np.repeat(np.arange(len(found.lists)), found.lists.lengths)[items >= 0]
        return ItemLabels(self.config.labels, RaggedArray.build(rows, items[items >= 0], len(found.lists)))

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        self.features = tuple(shape.features)
        labels, count = len(self.names), len(self.features)
        width = next(iter(shape.features.values()), 0)
        self.register_buffer("words", torch.zeros(labels, width))
        self.register_buffer("means", torch.zeros(count, width))
        self.register_buffer("locations", torch.zeros(count, labels))
        self.register_buffer("scales", torch.ones(count, labels))
        self.register_buffer("offset", torch.zeros(1))

    def solve(self, train: TrainView, run: RunContext) -> bool:
        sentences = [self.config.prompt.replace("{label}", name) for name in self.names]
        words = MiniLM().encode(sentences).values
        self.words = torch.from_numpy(_unit(words - words.mean(0)))
        seen = np.flatnonzero(train.visible_items)
        seen = seen[:: max(len(seen) // SAMPLE, 1)]
        sample = ItemFeatures.of(train.features, train.n_items).take(seen)
        for at, name in enumerate(self.features):
            own = sample[name].values[sample[name].present].astype(np.float32)
            if len(own):
                self.means[at] = torch.from_numpy(own.mean(0))
                cosines = self._cosines(at, own)
                self.locations[at] = torch.from_numpy(cosines.mean(0))
                self.scales[at] = torch.from_numpy(np.maximum(cosines.std(0), 1e-6))
        likeness, there = self._likeness(sample)
        share = min(self.config.expected / len(self.names), 1.0)
        if there.any():
            self.offset[0] = float(np.quantile(likeness[there], 1 - share))
        return True

    def tag(self, content: ItemFeatures) -> NDArray[np.float32]:
        likeness, there = self._likeness(content)
        raised = self.config.steepness * torch.from_numpy(likeness)
        if self.single:
            found: Floats = raised.softmax(1).numpy()
            return found
        found = (raised - self.config.steepness * self.offset.cpu()).sigmoid().numpy()
        return np.asarray(np.where(there[:, None], found, min(self.config.expected / len(self.names), 1.0)), np.float32)

    def _cosines(self, at: int, vectors: Floats) -> Floats:
        """Cosines float32 [n, labels] of content with words, both centred.

        Args:
            at: place of the feature.
            vectors: float32 [n, d].
        """
        cosines: Floats = _unit(vectors - self.means[at].cpu().numpy()) @ self.words.cpu().numpy().T
        return cosines

    def _likeness(self, content: ItemFeatures) -> tuple[Floats, NDArray[np.bool_]]:
        """Standardised cosines [n, labels], means over the features an item has, and which items have any."""
        total = np.zeros((content.n_items, len(self.names)), np.float32)
        count = np.zeros(content.n_items, np.float32)
        for at, name in enumerate(self.features):
            if name not in content:
                continue
            there = content[name].present
            cosines = self._cosines(at, content[name].values[there].astype(np.float32))
            total[there] += (cosines - self.locations[at].cpu().numpy()) / self.scales[at].cpu().numpy()
            count += there
        return np.asarray(total / np.maximum(count, 1)[:, None], np.float32), count > 0


def _unit(vectors: Floats) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12), np.float32)


def _base(encoder: str) -> str:
    return encoder.partition("?")[0].partition(":")[0]
