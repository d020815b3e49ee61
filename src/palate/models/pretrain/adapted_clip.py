"""Adapted CLIP (Wen et al., SIGIR 2023): from pictures with texts to pictures for queries, in three stages.

1. base, on items' own pictures and texts: itc, symmetric cross-entropy of exp(s) cos(text, picture); itm, does the text
   fit the picture, with wrong partners drawn by the batch's similarities; mlm, masked words told from the rest and the
   picture. itm and mlm read both through one more Transformer layer, the fusion.
2. relevance: a copy of it all learns t(q, v), the logit that picture v fits query q, from searches and drawn pictures.
3. retrieval: towers alone learn from the same searches, L = itc(q, v) + distil BCE(a cos(q, v) + b, sigmoid t(q, v)),
   the second over each query's own picture and those of the batch that its tower confuses it with.

The relevance model sees both sides at once, so it knows that pictures nobody took may fit too; the towers learn it from
its scores, where contrast alone calls them wrong.

Our choices: the paper's relevance labels are people's; here a search's own picture fits and drawn ones do not. Where
nobody searched, an item's text asks for the one its user took next. Queries of the same words and the same item are no
negatives. ``stages`` leaves some out; their epochs go to the last one. Vectors are means of tokens, projected.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.core.batch import ExampleBatch, Ints
from palate.core.encoder import Encoder
from palate.core.model import Needs, Phase, pretrainers
from palate.features.encoders.tower import Tower, tower_network
from palate.losses.contrastive import info_nce
from palate.modules.fusion import PairReader, drawn_pairs, pick
from palate.modules.masking import choose, corrupt, mine
from palate.modules.towers import Tokens

from ._contrast import MOST_SCALE
from ._held import reciprocal_rank
from ._picture_text import FIRST_WORD, HEADS, MASK, PictureText
from ._queries import Queries, Source, alike

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from palate.data.views import TrainView

CHUNK, NOBODY, JUDGED = 256, -1, 1000
Stage = Literal["base", "relevance", "retrieval"]
Task = Literal["itc", "itm", "mlm"]


@pretrainers.register("adapted_clip")
class AdaptedCLIP(PictureText):
    """Pictures for queries: pretrained, then taught by a relevance model.

    Attributes:
        copied: bool scalar, whether the relevance model has started from the base; a resumed run must know.
    """

    copied: Tensor

    name = "adapted_clip"
    paper = "Wen et al., Enhancing Dynamic Image Advertising with Vision-Language Pre-training, SIGIR 2023"
    needs = Needs(batch="examples", content=True, queries=True)

    class Config(PictureText.Config):
        """Settings.

        Attributes:
            stages: which are run, each for ``epochs`` at most. objectives: of the base. queries: see :class:`Queries`.
            distil: weight of the relevance model's scores; 0 leaves them out. rivals: pictures it judges, a query.
            width: of the shared space. tau: first temperature; it is learnt. masked: share of words hidden in mlm.
        """

        stages: tuple[Stage, ...] = Field(("base", "relevance", "retrieval"), min_length=1)
        objectives: tuple[Task, ...] = Field(("itc", "itm", "mlm"), min_length=1)
        queries: Source = "auto"
        distil: float = Field(1.0, ge=0)
        rivals: int = Field(4, ge=1)
        width: int = Field(64, ge=2)
        tau: float = Field(0.07, gt=0)
        masked: float = Field(0.15, gt=0, lt=1)

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, rows = self.config, np.arange(train.n_items)
        self.networks = {m: self.inputs.network(m, c.dim, c.layers) for m in ("text", "image")}
        towers = {m: tower_network(network, c.width) for m, network in self.networks.items()}
        self.base = PairReader(towers, c.dim, HEADS, self.vocabulary)
        self.relevance = copy.deepcopy(self.base)
        self.register_buffer("copied", torch.tensor(False))
        self.scale = nn.Parameter(torch.tensor(math.log(1 / c.tau)))
        self.steep, self.shift = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(0.0))
        self.queries = Queries(train, c.queries, self.name)
        trained, kept = np.isin(rows, self.trained), np.isin(rows, self.kept)
        self.pairs, self.asked = self.queries.between(trained, trained), self.queries.between(trained, kept)[:JUDGED]

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return image

    def examples(self, view: TrainView) -> Ints:
        """(query, item) of searches, and (-1, item) of all items."""
        alone = np.stack([np.full(len(self.trained), NOBODY), self.trained], axis=1)
        return np.concatenate([self.pairs, alone]).astype(np.int64)

    def phases(self) -> list[Phase]:
        c = self.config
        teacher, towers = [*self.relevance.parameters()], [*self.base.towers.parameters(), self.scale]
        losses: dict[Stage, tuple[Callable[[ExampleBatch], dict[str, Tensor]], list[nn.Parameter]]] = {
            "base": (self.base_loss, [*self.base.parameters(), self.scale]),
            "relevance": (self.relevance_loss, teacher),
            "retrieval": (self.retrieval_loss, [*towers, self.steep, self.shift]),
        }
        chosen = [stage for stage in losses if stage in c.stages]
        epochs = dict.fromkeys(chosen, c.epochs)
        epochs[chosen[-1]] += c.epochs * (len(losses) - len(chosen))
        # held-out retrieval says nothing about the relevance model
        return [
            Phase(stage, *losses[stage], c.lr, c.weight_decay, None, epochs[stage], c.patience, stage != "relevance")
            for stage in chosen
        ]

    @property
    def temperature(self) -> Tensor:
        """1 / exp(s), s clipped as in CLIP."""
        return 1 / self.scale.exp().clamp(max=MOST_SCALE)

    def base_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """The sum of the base's objectives over the batch's items that have both picture and text."""
        items = batch.rows[:, 1].unique()
        items = items[self.has("text", items)]
        if len(items) < 2:
            return {"loss": self.scale * 0}
        ids, twins = self.ids(items), alike(self.ids(items), items)
        words, regions = self.base.read("text", ids), self.base.read("image", self.inputs.read("image", items))
        a, b = self.base.vector("text", words), self.base.vector("image", regions)
        parts = {
            "itc": lambda: info_nce(a, b, self.temperature, symmetric=True, twins=twins),
            "itm": lambda: self.itm(words, regions, (a @ b.T / self.temperature).detach(), twins),
            "mlm": lambda: self.mlm(ids, regions),
        }
        out = {name: parts[name]() for name in self.config.objectives}
        return {"loss": torch.stack([*out.values()]).sum(), **out}

    def itm(self, words: Tokens, regions: Tokens, scores: Tensor, twins: Tensor) -> Tensor:
        """Cross-entropy of fits: each pair, each text with a wrong picture, each picture with a wrong text."""
        own = torch.arange(len(scores), device=scores.device)
        (a, wrong_picture), (b, wrong_text) = mine(scores, twins), mine(scores.T, twins)
        texts, pictures = torch.cat([own, a, wrong_text]), torch.cat([own, wrong_picture, b])
        return first_fit(self.base.fits(pick(words, texts), pick(regions, pictures)), len(own))

    def mlm(self, ids: Tensor, regions: Tokens) -> Tensor:
        """Cross-entropy of masked words."""
        chosen = choose(ids >= FIRST_WORD, self.config.masked)
        shown = corrupt(ids, chosen, MASK, (FIRST_WORD, self.vocabulary))
        logits = self.base.guesses(self.base.read("text", shown), regions)[chosen]
        return F.cross_entropy(logits, ids[chosen], reduction="sum") / max(len(logits), 1)

    def searched(self, batch: ExampleBatch) -> tuple[Tensor, Tensor]:
        """Token ids [B, T] of the batch's queries, and rows of the items they led to [B]."""
        pairs = batch.rows[batch.rows[:, 0] != NOBODY]
        return self.queries.ids(pairs[:, 0]), pairs[:, 1]

    def relevance_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Cross-entropy of fits: each search's own picture, and others of the batch drawn evenly."""
        if not self.copied:
            self.relevance.load_state_dict(self.base.state_dict())
            self.copied.fill_(True)
        ids, items = self.searched(batch)
        if not len(items):
            return {"loss": self.relevance.match.bias.sum() * 0}
        words = self.relevance.read("text", ids)
        regions = self.relevance.read("image", self.inputs.read("image", items))
        own = torch.arange(len(items), device=items.device)
        asked, wrong = drawn_pairs(~alike(ids, items), self.config.rivals)
        texts, pictures = torch.cat([own, asked]), torch.cat([own, wrong])
        return {"loss": first_fit(self.relevance.fits(pick(words, texts), pick(regions, pictures)), len(own))}

    def retrieval_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Contrast of searches with what was taken, and the relevance model's scores."""
        ids, items = self.searched(batch)
        if len(items) < 2:
            return {"loss": self.scale * 0}
        pictures = self.inputs.read("image", items)
        a = self.base.vector("text", self.base.read("text", ids))
        b = self.base.vector("image", self.base.read("image", pictures))
        out = {"itc": info_nce(a, b, self.temperature, symmetric=True, twins=alike(ids, items))}
        loss = out["itc"]
        if self.config.distil and "relevance" in self.config.stages:
            out["kd"] = self.taught(a @ b.T, ids, pictures)
            loss = loss + self.config.distil * out["kd"]
        return {"loss": loss, **out}

    def taught(self, cosines: Tensor, ids: Tensor, pictures: Tensor) -> Tensor:
        """Cross-entropy of a cos + b with the relevance model's chances that a picture fits a query.

        Args:
            cosines: [B, B] of queries with pictures. ids: int64 [B, T]. pictures: [B, 3, S, S].
        """
        own = torch.arange(len(ids), device=ids.device)
        others = cosines.detach().clone().fill_diagonal_(-torch.inf).topk(min(self.config.rivals, len(ids) - 1), 1)
        columns = torch.cat([own[:, None], others.indices], 1)
        with torch.no_grad():
            teacher = self.relevance.eval()
            words, regions = teacher.read("text", ids), teacher.read("image", pictures)
            texts = own[:, None].expand_as(columns).flatten()
            chances = teacher.fits(pick(words, texts), pick(regions, columns.flatten())).sigmoid()
        logits = self.steep * cosines.gather(1, columns).flatten() + self.shift
        return F.binary_cross_entropy_with_logits(logits, chances)

    def held_vectors(self, modality: str, rows: NDArray[np.int64], read: Callable[[Tensor], Tensor]) -> Tensor:
        """Unit vectors float32 [n, width] of what ``read`` gives for ``rows``."""
        parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
        return torch.cat([self.base.vector(modality, self.base.read(modality, read(part))) for part in parts])

    def held_score(self) -> float:
        """Mean reciprocal rank among held-out pictures of those that queries led to, or without any, of texts' own."""
        if not len(self.kept):
            return float("nan")
        with torch.inference_mode():
            pictures = self.held_vectors("image", self.kept, lambda rows: self.inputs.read("image", rows))
            if len(self.asked):
                texts = self.held_vectors("text", self.asked[:, 0], self.queries.ids)
            else:
                texts = self.held_vectors("text", self.kept, self.ids)
            wanted = self.asked[:, 1] if len(self.asked) else self.kept
            place = torch.from_numpy(np.searchsorted(self.kept, wanted)).to(self.device)
            return reciprocal_rank(texts, pictures, place)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        return {
            m: Tower(readers[m], network, self.config.width).take_weights(self.base.part(m).state_dict(), fitted_on)
            for m, network in self.networks.items()
        }


def first_fit(logits: Tensor, n: int) -> Tensor:
    """Cross-entropy of logits [B] of which the first ``n`` are of pairs that fit."""
    return F.binary_cross_entropy_with_logits(logits, (torch.arange(len(logits), device=logits.device) < n).float())
