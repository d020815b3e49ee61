"""K3M (Zhu et al., ACM MM 2021): pictures and titles of products, tied together by what is known of them.

Each modality has a Transformer of its own, then reads the other by co-attention. Initial-interactive fusion weighs its
means before and after: c_0 = sum_k w_k h_k over those that are there. Knowledge joins by structure aggregation over the
triples (property p_j, value v_j): c = c_0 + sum_j a_j W [c_0; p_j; v_j], a = softmax of a learnt score. L is the sum of

- mlm: cross-entropy of masked words, mom: KL of masked regions' classes, both on states after interaction;
- lpm: max(0, margin + |c + p - v| - |c + p - v'|) with v' another value of the same property that the item lacks.

Our choices. Property and value are embeddings, not texts. Triples that are asked for are left out of the aggregation,
else c would hold the answer; a share of them is asked at every step, so that c_0 alone must often know. Lpm is TransE's
as in the paper (the public code has a classifier). The cells of a small image tower's grid, trained with the rest,
stand for a detector's regions, as in ``uniter``. ``hide``: chance that an item with both modalities shows one alone in
training; exported encoders read one alone and know no triples.
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
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.core.seeding import torch_stream
from palate.features.fields import plan_fields
from palate.modules.interactive import InteractiveTower, initial_interactive
from palate.modules.masking import apply_mask, sample_mask
from palate.modules.region_labeller import RegionLabeller
from palate.modules.regions import Regions
from palate.modules.stream import TokenEmbedding, WordHead
from palate.modules.towers import Tokens
from palate.modules.triples import Triples

from ._picture_text import PictureText
from ._properties import Properties
from ._streams import FIRST_WORD, HEADS, MASK, headless, stream_reader

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

SEEN, CHUNK, SIDES = 256, 256, ("text", "image")


@pretrainers.register("k3m")
class K3M(PictureText):
    """Knowledge, language and pictures, robust to what is missing."""

    name = "k3m"
    paper = "Zhu et al., Knowledge Perceived Multi-modal Pretraining in E-commerce, ACM MM 2021"

    stated: Tensor

    class Config(PictureText.Config):
        """Settings.

        Attributes:
            objectives: which are summed. moments: what c_0 is made of. masked: share of words and of regions hidden.
            asked: share of an item's triples that are asked for. most: triples of an item that are read.
            wrong: values v' for each. margin: of lpm. classes: of regions. hide: see the module.
        """

        objectives: tuple[Literal["mlm", "mom", "lpm"], ...] = Field(("mlm", "mom", "lpm"), min_length=1)
        moments: Literal["both", "initial", "interactive"] = "both"
        layers: int = Field(1, ge=1)
        masked: float = Field(0.15, gt=0, lt=1)
        asked: float = Field(0.5, gt=0, le=1)
        most: int = Field(16, ge=1)
        wrong: int = Field(8, ge=1)
        margin: float = Field(1.0, gt=0)
        classes: int = Field(64, ge=2)
        hide: float = Field(0.2, ge=0, lt=1)

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return plan_fields(items, {"attributes"})

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, d = self.config, self.config.dim
        known = Properties.of(train)
        if "lpm" in c.objectives and not known.names:
            needed = "items with attributes, or relations to something else than items"
            raise ConfigError(f"{self.name} needs {needed}", key="objectives", hint="or leave out lpm")
        readers = {m: stream_reader(self.inputs, m, d) for m in SIDES}
        sizes: dict[str, Any] = {"dim": d, "layers": c.layers, "heads": HEADS, "fusion": c.moments}
        self.networks = {m: {"kind": "interactive", "reader": reader, **sizes} for m, reader in readers.items()}
        self.text, self.image = (InteractiveTower(reader, **sizes) for reader in readers.values())
        self.image.weighed = self.text.weighed
        words, regions = self.text.reader, self.image.reader
        assert isinstance(words, TokenEmbedding) and isinstance(regions, Regions)
        self.words, self.regions = words, regions
        self.guess_word, self.guess_class = WordHead(d, self.vocabulary), nn.Linear(d, c.classes)
        self.triples = Triples(torch.from_numpy(known.first), d)
        self.register_buffer("stated", torch.from_numpy(known.padded(c.most)), persistent=False)
        pictured = self.trained[self.inputs.present("image")[self.trained]]
        sample = self.inputs.read("image", torch.from_numpy(pictured[:SEEN]))
        self.grid = regions(sample[:1])[1].shape[1]
        self.detector = RegionLabeller(
            regions.tower, sample, c.classes, torch_stream(train.seed, "detector", self.name)
        )

    def phases(self) -> list[Phase]:
        (phase,) = super().phases()
        # what was never trained cannot say when to stop
        return [replace(phase, validate="lpm" in self.config.objectives)]

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        c, rows = self.config, batch.rows[:, 0]
        shown, ids, pictures = self.shown(rows), self.ids(rows), self.inputs.read("image", rows)
        words = sample_mask((ids >= FIRST_WORD) & shown[:, :1] & ("mlm" in c.objectives), c.masked)
        regions = sample_mask(shown[:, 1:].expand(-1, self.grid) & ("mom" in c.objectives), c.masked)
        before = self.before(apply_mask(ids, words, MASK, (FIRST_WORD, self.vocabulary)), pictures, shown, regions)
        after = self.after(before)
        parts = {
            "mlm": lambda: self.mlm(after[0][0][words], ids[words]),
            "mom": lambda: self.mom(after[1][0][regions], pictures, regions),
            "lpm": lambda: self.lpm(self.fused(before, after), rows),
        }
        out: dict[str, Tensor] = {name: parts[name]() for name in c.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def shown(self, rows: Tensor) -> Tensor:
        """Bool [B, 2]: text and picture that are read; of items with both, one is hidden now and then."""
        has = torch.stack([self.has(m, rows) for m in SIDES], 1)
        draws = torch.rand(len(rows), 2, device=rows.device)
        hidden = (draws[:, :1] < self.config.hide) & has.all(1, keepdim=True)
        side = torch.stack([draws[:, 1] < 0.5, draws[:, 1] >= 0.5], 1)
        shown: Tensor = has & ~(hidden & side)
        return shown

    def before(self, ids: Tensor, pictures: Tensor, shown: Tensor, hidden: Tensor | None = None) -> list[Tokens]:
        """Each modality's states before interaction, and which are there.

        Args:
            ids: int64 [B, T]. pictures: [B, 3, S, S]. shown: bool [B, 2]. hidden: bool [B, R], masked regions.
        """
        words, said = self.words(ids)
        cells, seen = self.regions(pictures, hidden)
        parts = [(words, said & shown[:, :1]), (cells, seen & shown[:, 1:])]
        return [(side.stream([part])[0], part[1]) for side, part in zip((self.text, self.image), parts)]

    def after(self, before: list[Tokens]) -> list[Tokens]:
        """Each modality's states after it read the other's."""
        text, image = before
        return [(self.text.meet(text[0], image), text[1]), (self.image.meet(image[0], text), image[1])]

    def fused(self, before: list[Tokens], after: list[Tokens]) -> Tensor:
        """c_0 float32 [B, d]."""
        return initial_interactive(before, after, self.text.weighed, self.config.moments)

    def content(self, ids: Tensor, pictures: Tensor, shown: Tensor) -> Tensor:
        """c_0 of items whose content is given; arguments as in :meth:`before`."""
        before = self.before(ids, pictures, shown)
        return self.fused(before, self.after(before))

    def mlm(self, states: Tensor, truth: Tensor) -> Tensor:
        """Cross-entropy of masked words. states: [m, d]. truth: int64 [m]."""
        logits = self.guess_word(states, self.words.words.weight)
        total: Tensor = F.cross_entropy(logits, truth, reduction="sum")
        return total / max(len(truth), 1)

    def mom(self, states: Tensor, pictures: Tensor, where: Tensor) -> Tensor:
        """Divergence of guessed from detected classes of masked regions. states: [m, d]. where: bool [B, R]."""
        goal = self.detector.classes(self.detector(pictures)[where])
        return F.kl_div(F.log_softmax(self.guess_class(states), 1), goal, reduction="sum") / max(len(states), 1)

    def lpm(self, items: Tensor, rows: Tensor) -> Tensor:
        """Hinge of asked triples against wrong values; the others are aggregated. items: c_0 [B, d]."""
        c, stated = self.config, self.stated[rows]
        asked = sample_mask(stated >= 0, c.asked)
        whole = self.triples.aggregate(items, torch.where(asked, -1, stated))
        return self.triples.hinge(whole, stated, asked, c.wrong, c.margin)

    def validation_score(self) -> float:
        """Mean reciprocal rank of held-out items' values among all of the property, told from content alone."""
        ranks = []
        with torch.inference_mode():
            for rows in torch.from_numpy(self.kept).to(self.device).split(CHUNK):
                has = torch.ones(len(rows), 2, dtype=torch.bool, device=rows.device)
                items = self.content(self.ids(rows), self.inputs.read("image", rows), has)
                ranks.append(self.triples.ranks(items, self.stated[rows]))
        found = torch.cat([*ranks, torch.zeros(0, dtype=torch.int64, device=self.device)])
        return float((1 / found).mean()) if len(found) else 0.0

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        sides = zip(SIDES, (self.text, self.image))
        return {m: headless(readers[m], self.networks[m], side, fitted_on) for m, side in sides}
