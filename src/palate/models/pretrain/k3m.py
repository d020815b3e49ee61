"""K3M (Zhu et al., ACM MM 2021): pictures and titles of products, tied together by a knowledge graph.

Each modality has a Transformer of its own, then reads the other by co-attention. Initial-interactive fusion weighs its
means before and after: c_0 = sum_k w_k h_k over those that are present. Knowledge enters by structure aggregation over
the triples (property p_j, value v_j): c = c_0 + sum_j a_j W [c_0; p_j; v_j], a = softmax of a learnt score. L is the
sum of

- mlm: cross-entropy of masked words, mom: KL of masked regions' classes, both on states after interaction;
- lpm: max(0, margin + |c + p - v| - |c + p - v'|) with v' another value of the same property that the item lacks.

Our choices. Property and value are embeddings, not texts. Triples that are predicted are left out of the aggregation,
else c would hold the answer; a share of them is predicted at every step, so that c_0 alone must often suffice. Lpm is
TransE's as in the paper (the public code has a classifier). The cells of a small image tower's grid, trained with the
rest, stand for a detector's regions, and what their classes are is told by an encoder that is not, as in ``uniter``.
``modality_dropout``: probability that an item with both modalities shows one alone in training; exported encoders read
one alone and no triples.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.fields import plan_fields
from palate.models.pretrain.shared.image_text import ImageTextPretrainer
from palate.models.pretrain.shared.properties import Properties
from palate.models.pretrain.shared.region_targets import REGIONS, RegionConfig, RegionTargets, region_columns
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK, mean_state_encoder, token_reader
from palate.modules.interactive import InteractiveTower, initial_interactive
from palate.modules.masking import apply_mask, sample_mask
from palate.modules.regions import Regions
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import Tokens
from palate.modules.triples import Triples

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

CHUNK, MODALITIES = 256, ("text", "image")


@pretrainers.register("k3m")
class K3M(ImageTextPretrainer):
    """Knowledge, language and pictures, robust to missing modalities.

    Attributes:
        values: int64 [n_items, w], values of the properties of each item, -1 as padding.
    """

    name = "k3m"
    paper = "Zhu et al., Knowledge Perceived Multi-modal Pretraining in E-commerce, ACM MM 2021"

    values: Tensor

    class Config(RegionConfig, ImageTextPretrainer.Config):
        """Settings of the objectives and of the knowledge."""

        objectives: tuple[Literal["mlm", "mom", "lpm"], ...] = Field(
            ("mlm", "mom", "lpm"),
            min_length=1,
            description="objectives that are summed: masked words (mlm), masked regions (mom), link prediction (lpm)",
        )
        moments: Literal["both", "initial", "interactive"] = Field(
            "both", description="states that c_0 is made of: before interaction, after it, or both"
        )
        layers: int = Field(1, ge=1, description="layers of each Transformer")
        masked: float = Field(0.15, gt=0, lt=1, description="share of the words and of the regions masked")
        asked: float = Field(0.5, gt=0, le=1, description="share of an item's triples that lpm predicts")
        most: int = Field(16, ge=1, description="triples of an item that are read, at most")
        wrong: int = Field(8, ge=1, description="wrong values v' of each predicted triple")
        margin: float = Field(1.0, gt=0, description="margin of lpm")
        classes: int = Field(64, ge=2, description="classes of regions at most")
        modality_dropout: float = Field(
            0.2,
            ge=0,
            lt=1,
            description="probability that an item with both modalities shows one alone in training",
            json_schema_extra={"search": "0.0..0.5"},
        )

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return {**plan_fields(items, {"attributes"}), **region_columns(items, self.config.region_encoder)}

    def trainable(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build both Transformers and the triples.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if lpm is an objective and the items have neither attributes nor relations to entities, or as
                in :meth:`ImageTextPretrainer.setup`.
        """
        super().setup(train, run)
        c, d = self.config, self.config.dim
        properties = Properties.from_view(train)
        if "lpm" in c.objectives and not properties.names:
            needed = "items with attributes, or relations to something else than items"
            raise ConfigError(f"{self.name} needs {needed}", key="objectives", hint="leave out lpm")
        readers = {m: token_reader(self.inputs, m, d) for m in MODALITIES}
        sizes: dict[str, Any] = {"dim": d, "layers": c.layers, "heads": HEADS, "fusion": c.moments}
        self.networks = {m: {"kind": "interactive", "reader": reader, **sizes} for m, reader in readers.items()}
        self.text, self.image = (InteractiveTower(reader, **sizes) for reader in readers.values())
        self.image.weighed = self.text.weighed
        words, regions = self.text.reader, self.image.reader
        assert isinstance(words, TokenEmbedding) and isinstance(regions, Regions)
        self.words, self.regions = words, regions
        with_image = self.train_items[self.inputs.present("image")[self.train_items]]
        self.grid = regions(self.inputs.read("image", torch.from_numpy(with_image[:1])))[1].shape[1]
        encoded = train.fields.get(REGIONS)
        self.detector = RegionTargets(self.inputs, "image", with_image, self.grid, c.classes, run.seed, encoded)
        self.guess_word, self.guess_class = WordHead(d, self.vocabulary), nn.Linear(d, len(self.detector.kinds))
        self.triples = Triples(torch.from_numpy(properties.offsets), d)
        self.register_buffer("values", torch.from_numpy(properties.padded_values(c.most)), persistent=False)

    def phases(self) -> list[Phase]:
        (phase,) = super().phases()
        # an objective that is not trained cannot decide when to stop
        return [replace(phase, validate="lpm" in self.config.objectives)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        visible, ids, pictures = self.visible(rows), self.ids(rows), self.inputs.read("image", rows)
        words = sample_mask((ids >= FIRST_WORD) & visible[:, :1] & ("mlm" in c.objectives), c.masked)
        regions = sample_mask(visible[:, 1:].expand(-1, self.grid) & ("mom" in c.objectives), c.masked)
        before = self.before(apply_mask(ids, words, MASK, (FIRST_WORD, self.vocabulary)), pictures, visible, regions)
        after = self.after(before)
        terms = {
            "mlm": lambda: self.mlm(after[0][0][words], ids[words]),
            "mom": lambda: self.mom(after[1][0][regions], rows, regions),
            "lpm": lambda: self.lpm(self.fused(before, after), rows),
        }
        out: dict[str, Tensor] = {name: terms[name]() for name in c.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def visible(self, rows: Tensor) -> Tensor:
        """Bool [B, 2]: text and picture that are read; of items with both, one is dropped at random."""
        has = torch.stack([self.has(m, rows) for m in MODALITIES], 1)
        draws = torch.rand(len(rows), 2, device=rows.device)
        dropped = (draws[:, :1] < self.config.modality_dropout) & has.all(1, keepdim=True)
        which = torch.stack([draws[:, 1] < 0.5, draws[:, 1] >= 0.5], 1)
        visible: Tensor = has & ~(dropped & which)
        return visible

    def before(self, ids: Tensor, pictures: Tensor, visible: Tensor, hidden: Tensor | None = None) -> list[Tokens]:
        """Each modality's states before interaction, and their masks.

        Args:
            ids: int64 [B, T].
            pictures: float [B, 3, S, S].
            visible: bool [B, 2], text and picture that are read.
            hidden: bool [B, R], masked regions.

        Returns:
            Tokens of the text, and of the picture.
        """
        words, word_mask = self.words(ids)
        cells, cell_mask = self.regions(pictures, hidden)
        parts = [(words, word_mask & visible[:, :1]), (cells, cell_mask & visible[:, 1:])]
        return [(tower.stream([part])[0], part[1]) for tower, part in zip((self.text, self.image), parts)]

    def after(self, before: list[Tokens]) -> list[Tokens]:
        """Each modality's states after it read the other's."""
        text, image = before
        return [(self.text.meet(text[0], image), text[1]), (self.image.meet(image[0], text), image[1])]

    def fused(self, before: list[Tokens], after: list[Tokens]) -> Tensor:
        """c_0 float32 [B, d]."""
        return initial_interactive(before, after, self.text.weighed, self.config.moments)

    def content(self, ids: Tensor, pictures: Tensor, visible: Tensor) -> Tensor:
        """c_0 of items with the given content; arguments as in :meth:`before`."""
        before = self.before(ids, pictures, visible)
        return self.fused(before, self.after(before))

    def mlm(self, states: Tensor, truth: Tensor) -> Tensor:
        """Mean cross-entropy of masked words, given their states [m, d] and the true ids int64 [m]."""
        logits = self.guess_word(states, self.words.words.weight)
        total: Tensor = F.cross_entropy(logits, truth, reduction="sum")
        return total / max(len(truth), 1)

    def mom(self, states: Tensor, rows: Tensor, where: Tensor) -> Tensor:
        """KL divergence of predicted from detected classes of masked regions.

        Args:
            states: float [m, d], states of the masked regions.
            rows: int64 [B].
            where: bool [B, R], masked regions.

        Returns:
            A scalar, the mean over masked regions.
        """
        target = self.detector.classes(self.detector(rows)[where])
        return F.kl_div(F.log_softmax(self.guess_class(states), 1), target, reduction="sum") / max(len(states), 1)

    def lpm(self, items: Tensor, rows: Tensor) -> Tensor:
        """Hinge of predicted triples against wrong values; the other triples are aggregated.

        Args:
            items: float [B, d], c_0.
            rows: int64 [B].

        Returns:
            A scalar.
        """
        c, values = self.config, self.values[rows]
        predicted = sample_mask(values >= 0, c.asked)
        aggregated = self.triples.aggregate(items, torch.where(predicted, -1, values))
        return self.triples.hinge(aggregated, values, predicted, c.wrong, c.margin)

    def validation_score(self) -> float:
        """Mean reciprocal rank of held-out items' values among all of the property, from content alone."""
        parts = []
        with torch.inference_mode():
            for rows in torch.from_numpy(self.eval_items).to(self.device).split(CHUNK):
                visible = torch.ones(len(rows), 2, dtype=torch.bool, device=rows.device)
                items = self.content(self.ids(rows), self.inputs.read("image", rows), visible)
                parts.append(self.triples.ranks(items, self.values[rows]))
        ranks = torch.cat([*parts, torch.zeros(0, dtype=torch.int64, device=self.device)])
        return float((1 / ranks).mean()) if len(ranks) else 0.0

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        towers = zip(MODALITIES, (self.text, self.image))
        return {m: mean_state_encoder(readers[m], self.networks[m], tower, fitted_on) for m, tower in towers}
