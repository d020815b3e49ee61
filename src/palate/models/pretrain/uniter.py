"""UNITER (Chen et al., ECCV 2020): words and regions in one Transformer, four tasks, one of them a batch.

- mlm: -log P(w_m | w_rest, v). mrfr: ||h(v_m) - r(v_m)||^2. mrc_kl: KL(c(v_m) || P(. | v_rest, w)); mrc, not among
  the default tasks: -log P(argmax c(v_m) | v_rest, w).
- itm: is this the picture of this text? binary cross-entropy on the state of [CLS]; half of the pairs are of two items.
  With it wra: min_T <T, C>, C = 1 - cos(word, region), the plan T by IPOT.
- Conditional masking: words are masked while the whole picture is shown, regions while the whole text is.

Our choices. The cells of a small image tower's grid, trained with the rest, stand for a detector's regions; a masked
cell loses its pixels, for its neighbours' receptive fields overlap it. The detector whose features r and classes c are
guessed is that tower as it was before training (a learnt target could collapse). Wra pushes pairs that do not match
apart. Two items with the same words or the same pixels match. ``alone``: this share of masked examples lacks the other
modality, since exported encoders read one alone. Pre-norm; vectors are the mean of the stream's states.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.encoder import Encoder
from palate.core.seeding import torch_stream
from palate.features.encoders.tower import Tower
from palate.losses.transport import transport_distance
from palate.modules.masking import apply_mask, sample_mask, sample_mismatched_pairs
from palate.modules.region_labeller import RegionLabeller
from palate.modules.regions import Regions
from palate.modules.stream import SingleStream, TokenEmbedding, WordHead
from palate.modules.towers import Tokens

from ._picture_text import PictureText
from ._streams import FIRST_WORD, HEADS, MASK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from palate.data.views import TrainView

SEEN, RIVALS = 256, 16
Task = Literal["mlm", "mrfr", "mrc", "mrc_kl", "itm"]


@pretrainers.register("uniter")
class UNITER(PictureText):
    """Masked words, masked regions, matching and alignment in a single stream."""

    name = "uniter"
    paper = "Chen et al., UNITER: UNiversal Image-TExt Representation Learning, ECCV 2020"
    judged = 200

    class Config(PictureText.Config):
        """Settings.

        Attributes:
            tasks: drawn from evenly. masked: share of words or regions hidden. wra: weight of alignment within itm.
            conditional: mask one modality at a time. classes: of regions. alone: see the module.
        """

        tasks: tuple[Task, ...] = Field(("mlm", "mrfr", "mrc_kl", "itm"), min_length=1)
        masked: float = Field(0.15, gt=0, lt=1)
        wra: float = Field(0.1, ge=0)
        conditional: bool = True
        classes: int = Field(64, ge=2)
        alone: float = Field(0.2, ge=0, le=1)

    config: Config

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, d = self.config, self.config.dim
        self.words, self.regions = TokenEmbedding(self.vocabulary, d, self.length), Regions(d)
        self.stream = SingleStream(d, c.layers, HEADS)
        self.guess_word, self.guess_features = WordHead(d, self.vocabulary), nn.Linear(d, d)
        self.guess_class, self.match = nn.Linear(d, c.classes), nn.Linear(d, 1)
        pictured = self.trained[self.inputs.present("image")[self.trained]]
        sample = self.inputs.read("image", torch.from_numpy(pictured[:SEEN]))
        self.grid = self.regions(sample[:1])[1].shape[1]
        draws = torch_stream(train.seed, "detector", self.name)
        self.detector = RegionLabeller(self.regions.tower, sample, c.classes, draws)
        self.tasks = np.random.default_rng(train.seed)

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return text | image

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        # every process draws the same tasks, else their gradients would not average
        self.tasks = np.random.default_rng(rng.integers(2**62))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        task: Task = self.config.tasks[self.tasks.integers(len(self.config.tasks))]
        return {"loss": getattr(self, task)(batch.rows[:, 0])}

    def picture(self, rows: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Embedded regions; none of items without a picture."""
        tokens, mask = self.regions(self.inputs.read("image", rows), hidden)
        return tokens, mask & self.has("image", rows)[:, None]

    def masked(self, rows: Tensor, words: bool) -> tuple[Tensor, Tensor, Tensor]:
        """States of hidden words (or else regions) [m, d], where they are (bool), and the ids int64 [B, T]."""
        c, ids = self.config, self.ids(rows)
        chosen = sample_mask(ids >= FIRST_WORD, c.masked) & (words or not c.conditional)
        hidden = sample_mask(self.has("image", rows)[:, None].expand(-1, self.grid), c.masked) & (
            not words or not c.conditional
        )
        text, said = self.words(apply_mask(ids, chosen, MASK, (FIRST_WORD, self.vocabulary)))
        image, shown = self.picture(rows, hidden)
        accompanied = (torch.rand(len(rows), device=rows.device) >= c.alone)[:, None]
        said, shown = (said, shown & accompanied) if words else (said & accompanied, shown)
        states = self.stream([(text, said), (image, shown)])
        where = chosen if words else hidden
        return states[0 if words else 1][where], where, ids

    def mlm(self, rows: Tensor) -> Tensor:
        """Cross-entropy of masked words."""
        states, where, ids = self.masked(rows, words=True)
        logits = self.guess_word(states, self.words.words.weight)
        return F.cross_entropy(logits, ids[where], reduction="sum") / max(len(states), 1)

    def mrfr(self, rows: Tensor) -> Tensor:
        """Squared error of masked regions' features, mean over their columns."""
        states, where, _ = self.masked(rows, words=False)
        error = self.guess_features(states) - self.detector(self.inputs.read("image", rows))[where]
        total: Tensor = error.square().mean(1).sum()
        return total / max(len(states), 1)

    def classes(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Guessed log-chances and detected chances of masked regions' classes, float32 [m, classes] each."""
        states, where, _ = self.masked(rows, words=False)
        target = self.detector.classes(self.detector(self.inputs.read("image", rows))[where])
        return F.log_softmax(self.guess_class(states), 1), target

    def mrc(self, rows: Tensor) -> Tensor:
        """Cross-entropy of the likeliest class."""
        found, target = self.classes(rows)
        return F.nll_loss(found, target.argmax(1), reduction="sum") / max(len(found), 1)

    def mrc_kl(self, rows: Tensor) -> Tensor:
        """Divergence of guessed from detected classes of masked regions."""
        found, target = self.classes(rows)
        return F.kl_div(found, target, reduction="sum") / max(len(found), 1)

    def itm(self, rows: Tensor) -> Tensor:
        """Matching, and transport between words and regions."""
        rows = rows[self.has("text", rows) & self.has("image", rows)]
        if len(rows) < 2:
            return self.match.weight.sum() * 0
        told, pictured = sample_mismatched_pairs(len(rows), rows.device)
        ids, pictures = self.ids(rows), self.inputs.read("image", rows)
        same = (ids[told] == ids[pictured]).all(1) | (pictures[told] == pictures[pictured]).flatten(1).all(1)
        text, image = self.words(ids[told]), self.regions(pictures[pictured])
        words, regions = self.stream([text, image])
        loss: Tensor = F.binary_cross_entropy_with_logits(self.match(words[:, 0])[:, 0], same.float())
        distance = transport_distance(words, regions, text[1], image[1])
        loss = loss + self.config.wra * torch.where(same, distance, -distance).mean()
        return loss

    def validation_score(self) -> float:
        """Mean reciprocal rank, by matching, of a held-out picture's text among up to 16 texts."""
        rows = torch.from_numpy(self.kept).to(self.device)
        if len(rows) < 2:
            return float("nan")
        with torch.inference_mode():
            (text, said), image = self.words(self.ids(rows)), self.picture(rows)
            scores = []
            for shift in range(min(RIVALS, len(rows))):
                states = self.stream([(text.roll(shift, 0), said.roll(shift, 0)), image])
                scores.append(self.match(states[0][:, 0])[:, 0])
        found = torch.stack(scores, 1)
        return float((1 / (found >= found[:, :1]).sum(1)).mean())

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        d = self.config.dim
        kinds: dict[str, tuple[nn.Module, dict[str, Any]]] = {
            "text": (self.words, {"kind": "words", "vocabulary": self.vocabulary, "dim": d, "length": self.length}),
            "image": (self.regions, {"kind": "regions", "dim": d}),
        }
        out: dict[str, Encoder] = {}
        for modality, (reader, kind) in kinds.items():
            network = {"kind": "stream", "reader": kind, "dim": d, "layers": self.config.layers, "heads": HEADS}
            parts = nn.ModuleDict({"reader": reader, "stream": self.stream})
            weights = {f"tower.{name}": tensor for name, tensor in parts.state_dict().items()}
            weights |= {"head.weight": torch.eye(d), "head.bias": torch.zeros(d)}
            out[modality] = Tower(readers[modality], network, d).take_weights(weights, fitted_on)
        return out
