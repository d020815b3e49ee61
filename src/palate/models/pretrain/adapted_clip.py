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
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, Requirements, pretrainers
from palate.core.batch import ExampleBatch, IntArray
from palate.losses.contrastive import info_nce
from palate.modules.pair_reader import sample_pairs, take_tokens

from ._held import reciprocal_rank
from ._pair_reader import PairPretrainer, first_fit
from ._queries import Queries, Source, alike

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palate.data.views import TrainView

NOBODY, JUDGED = -1, 1000
Stage = Literal["base", "relevance", "retrieval"]


@pretrainers.register("adapted_clip")
class AdaptedCLIP(PairPretrainer):
    """Pictures for queries: pretrained, then taught by a relevance model.

    Attributes:
        copied: bool scalar, whether the relevance model has started from the base; a resumed run must know.
    """

    copied: Tensor

    name = "adapted_clip"
    paper = "Wen et al., Enhancing Dynamic Image Advertising with Vision-Language Pre-training, SIGIR 2023"
    requirements = Requirements(content=True, queries=True)

    class Config(PairPretrainer.Config):
        """Settings.

        Attributes:
            stages: which are run, each for ``epochs`` at most. queries: see :class:`Queries`.
            distil: weight of the relevance model's scores; 0 leaves them out. rivals: pictures it judges, a query.
        """

        stages: tuple[Stage, ...] = Field(("base", "relevance", "retrieval"), min_length=1)
        queries: Source = "auto"
        distil: float = Field(1.0, ge=0)
        rivals: int = Field(4, ge=1)

    config: Config

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        c, rows = self.config, np.arange(train.n_items)
        self.relevance = copy.deepcopy(self.base)
        # it judges pairs alone: no vectors, no hidden words
        for idle in (self.relevance.guess, *(self.relevance.part(m)["head"] for m in self.networks)):
            idle.requires_grad_(False)
        self.register_buffer("copied", torch.tensor(False))
        self.steep, self.shift = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(0.0))
        self.queries = Queries(train, c.queries, self.name)
        trained, kept = np.isin(rows, self.trained), np.isin(rows, self.kept)
        self.pairs, self.asked = (
            self.queries.between(trained, trained),
            self.queries.between(trained, kept)[:JUDGED],
        )

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return image

    def examples(self, view: TrainView) -> IntArray:
        """(query, item) of searches, and (-1, item) of all items."""
        alone = np.stack([np.full(len(self.trained), NOBODY), self.trained], axis=1)
        return np.concatenate([self.pairs, alone]).astype(np.int64)

    def phases(self) -> list[Phase]:
        c = self.config
        teacher = [p for p in self.relevance.parameters() if p.requires_grad]
        towers = [*self.base.towers.parameters(), self.scale]
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
            self.phase(
                stage,
                loss=losses[stage][0],
                groups=losses[stage][1],
                epochs=epochs[stage],
                validate=stage != "relevance",
            )
            for stage in chosen
        ]

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
        asked, wrong = sample_pairs(~alike(ids, items), self.config.rivals)
        texts, pictures = torch.cat([own, asked]), torch.cat([own, wrong])
        return {
            "loss": first_fit(
                self.relevance.match_logits(take_tokens(words, texts), take_tokens(regions, pictures)), len(own)
            )
        }

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """That of the last stage."""
        return self.retrieval_loss(batch)

    def retrieval_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Contrast of searches with what was taken, and the relevance model's scores."""
        ids, items = self.searched(batch)
        if len(items) < 2:
            return {"loss": self.scale * 0}
        pictures = self.inputs.read("image", items)
        a = self.base.vector("text", self.base.read("text", ids))
        b = self.base.vector("image", self.base.read("image", pictures))
        out = {"itc": info_nce(a, b, self.temperature, symmetric=True, false_negatives=alike(ids, items))}
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
            chances = teacher.match_logits(take_tokens(words, texts), take_tokens(regions, columns.flatten())).sigmoid()
        logits = self.steep * cosines.gather(1, columns).flatten() + self.shift
        return F.binary_cross_entropy_with_logits(logits, chances)

    def validation_score(self) -> float:
        """Mean reciprocal rank among held-out pictures of those that queries led to, or without any, of texts' own."""
        if not len(self.kept):
            return float("nan")
        with torch.inference_mode():
            pictures = self.vectors("image", self.kept, lambda rows: self.inputs.read("image", rows))
            if len(self.asked):
                texts = self.vectors("text", self.asked[:, 0], self.queries.ids)
            else:
                texts = self.vectors("text", self.kept, self.ids)
            wanted = self.asked[:, 1] if len(self.asked) else self.kept
            place = torch.from_numpy(np.searchsorted(self.kept, wanted)).to(self.device)
            return reciprocal_rank(texts, pictures, place)
