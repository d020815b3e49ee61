"""UNITER (Chen et al., ECCV 2020): words and regions in one Transformer, four tasks, one of them a batch.

- mlm: -log P(w_m | w_rest, v). mrfr: ||h(v_m) - r(v_m)||^2. mrc_kl: KL(c(v_m) || P(. | v_rest, w)); mrc, not among
  the default tasks: -log P(argmax c(v_m) | v_rest, w).
- itm: is this the picture of this text? binary cross-entropy on the state of [CLS]; half of the pairs are of two items.
  With it wra: min_T <T, C>, C = 1 - cos(word, region), the plan T by IPOT.
- Conditional masking: words are masked with the whole picture in view, regions with the whole text.

Our choices. The cells of a small image tower's grid, trained with the rest, stand for a detector's regions; a masked
cell loses its pixels, for its neighbours' receptive fields overlap it. The detector whose features r are predicted is
an encoder of pictures (``region_encoder``), or built-in descriptors of colours and edges; classes c are words of
k-means over r. Nothing of it is trained, since a learnt target could collapse. Wra pushes pairs that do not match
apart. Two items with the same words or the same pixels match. ``alone``: this share of masked examples lacks the other
modality, since exported encoders read one alone. Pre-norm; vectors are the mean of the stream's states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.losses.transport import transport_distance
from palate.models.pretrain.shared.image_text import ImageTextPretrainer
from palate.models.pretrain.shared.region_targets import REGIONS, RegionConfig, RegionTargets, region_columns
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK, mean_state_encoder, word_and_region_readers
from palate.modules.masking import apply_mask, sample_mask, sample_mismatched_pairs
from palate.modules.regions import Regions
from palate.modules.stream import SingleStream, TokenEmbedding, WordHead
from palate.modules.towers import Tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from palate.data.catalog import Catalog
    from palate.data.views import TrainView

EVAL_CANDIDATES = 16
Task = Literal["mlm", "mrfr", "mrc", "mrc_kl", "itm"]


@pretrainers.register("uniter")
class UNITER(ImageTextPretrainer):
    """Masked words, masked regions, matching and alignment in a single stream."""

    name = "uniter"
    paper = "Chen et al., UNITER: UNiversal Image-TExt Representation Learning, ECCV 2020"
    max_eval_items = 200

    class Config(RegionConfig, ImageTextPretrainer.Config):
        """Settings of the tasks."""

        tasks: tuple[Task, ...] = Field(
            ("mlm", "mrfr", "mrc_kl", "itm"), min_length=1, description="tasks, drawn uniformly"
        )
        masked: float = Field(0.15, gt=0, lt=1, description="share of the words or regions masked")
        wra: float = Field(0.1, ge=0, description="weight of the alignment of words with regions within itm")
        conditional: bool = Field(True, description="mask one modality at a time")
        classes: int = Field(64, ge=2, description="classes of regions at most")
        alone: float = Field(0.2, ge=0, le=1, description="share of the masked examples that lack the other modality")

    config: Config

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        return region_columns(items, self.config.region_encoder)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, d = self.config, self.config.dim
        self.words, self.regions = TokenEmbedding(self.vocabulary, d, self.length), Regions(d)
        self.stream = SingleStream(d, c.layers, HEADS)
        with_image = self.train_items[self.inputs.present("image")[self.train_items]]
        self.grid = self.regions(self.inputs.read("image", torch.from_numpy(with_image[:1])))[1].shape[1]
        encoded = train.fields.get(REGIONS)
        self.detector = RegionTargets(self.inputs, "image", with_image, self.grid, c.classes, run.seed, encoded)
        self.guess_word, self.guess_features = WordHead(d, self.vocabulary), nn.Linear(d, self.detector.width)
        self.guess_class, self.match = nn.Linear(d, len(self.detector.kinds)), nn.Linear(d, 1)
        self.draws = np.random.default_rng(run.seed)

    def trainable(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        # every process draws the same tasks, else their gradients would not average
        self.draws = np.random.default_rng(rng.integers(2**62))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        task: Task = self.config.tasks[self.draws.integers(len(self.config.tasks))]
        return {"loss": getattr(self, task)(batch.rows[:, 0])}

    def picture(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded regions without those in ``hidden`` (bool [B, R]); items without a picture have none."""
        tokens, mask = self.regions(self.inputs.read("image", rows), hidden)
        return tokens, mask & self.has("image", rows)[:, None]

    def masked(self, rows: Tensor, words: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Mask words or regions, and encode.

        Args:
            rows: int64 [B].
            words: mask words, else regions; both if masking is not conditional.

        Returns:
            States of the masked words (or regions) [m, d], where they are (bool), and the true ids int64 [B, T].
        """
        c, ids = self.config, self.ids(rows)
        hidden_words = sample_mask(ids >= FIRST_WORD, c.masked) & (words or not c.conditional)
        hidden_regions = sample_mask(self.has("image", rows)[:, None].expand(-1, self.grid), c.masked) & (
            not words or not c.conditional
        )
        text, text_mask = self.words(apply_mask(ids, hidden_words, MASK, (FIRST_WORD, self.vocabulary)))
        image, image_mask = self.picture(rows, hidden_regions)
        keep = (torch.rand(len(rows), device=rows.device) >= c.alone)[:, None]
        text_mask, image_mask = (text_mask, image_mask & keep) if words else (text_mask & keep, image_mask)
        states = self.stream([(text, text_mask), (image, image_mask)])
        where = hidden_words if words else hidden_regions
        return states[0 if words else 1][where], where, ids

    def mlm(self, rows: Tensor) -> Tensor:
        """Mean cross-entropy of masked words."""
        states, where, ids = self.masked(rows, words=True)
        logits = self.guess_word(states, self.words.words.weight)
        return F.cross_entropy(logits, ids[where], reduction="sum") / max(len(states), 1)

    def mrfr(self, rows: Tensor) -> Tensor:
        """Mean squared error of masked regions' features, a mean over their columns."""
        states, where, _ = self.masked(rows, words=False)
        error = self.guess_features(states) - self.detector(rows)[where]
        total: Tensor = error.square().mean(1).sum()
        return total / max(len(states), 1)

    def classes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted log-probabilities and detected probabilities of masked regions' classes, float32 [m, classes]."""
        states, where, _ = self.masked(rows, words=False)
        target = self.detector.classes(self.detector(rows)[where])
        return F.log_softmax(self.guess_class(states), 1), target

    def mrc(self, rows: Tensor) -> Tensor:
        """Mean cross-entropy of masked regions' most likely class."""
        predicted, target = self.classes(rows)
        return F.nll_loss(predicted, target.argmax(1), reduction="sum") / max(len(predicted), 1)

    def mrc_kl(self, rows: Tensor) -> Tensor:
        """Mean KL divergence of predicted from detected classes of masked regions."""
        predicted, target = self.classes(rows)
        return F.kl_div(predicted, target, reduction="sum") / max(len(predicted), 1)

    def itm(self, rows: Tensor) -> Tensor:
        """Matching, and transport between words and regions."""
        rows = rows[self.has("text", rows) & self.has("image", rows)]
        if len(rows) < 2:
            return self.match.weight.sum() * 0
        left, right = sample_mismatched_pairs(len(rows), rows.device)
        ids, pictures = self.ids(rows), self.inputs.read("image", rows)
        same = (ids[left] == ids[right]).all(1) | (pictures[left] == pictures[right]).flatten(1).all(1)
        text, image = self.words(ids[left]), self.regions(pictures[right])
        words, regions = self.stream([text, image])
        loss: Tensor = F.binary_cross_entropy_with_logits(self.match(words[:, 0])[:, 0], same.float())
        distance = transport_distance(words, regions, text[1], image[1])
        loss = loss + self.config.wra * torch.where(same, distance, -distance).mean()
        return loss

    def validation_score(self) -> float:
        """Mean reciprocal rank, by matching, of a held-out picture's text among up to 16 texts."""
        rows = torch.from_numpy(self.eval_items).to(self.device)
        if len(rows) < 2:
            return float("nan")
        with torch.inference_mode():
            (text, mask), image = self.words(self.ids(rows)), self.picture(rows)
            columns = []
            for shift in range(min(EVAL_CANDIDATES, len(rows))):
                states = self.stream([(text.roll(shift, 0), mask.roll(shift, 0)), image])
                columns.append(self.match(states[0][:, 0])[:, 0])
        scores = torch.stack(columns, 1)
        return float((1 / (scores >= scores[:, :1]).sum(1)).mean())

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        d, configs = self.config.dim, word_and_region_readers(self.vocabulary, self.length, self.config.dim)
        out: dict[str, Encoder] = {}
        for modality, module in (("text", self.words), ("image", self.regions)):
            network = {"kind": "stream", "reader": configs[modality], "dim": d}
            network |= {"layers": self.config.layers, "heads": HEADS}
            tower = nn.ModuleDict({"reader": module, "stream": self.stream})
            out[modality] = mean_state_encoder(readers[modality], network, tower, fitted_on)
        return out
