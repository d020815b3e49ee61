"""Adapted CLIP (Wen et al., SIGIR 2023): from pictures with texts to pictures for queries, in three stages.

1. base, on items' own pictures and texts: itc, symmetric cross-entropy of exp(s) cos(text, picture); itm, whether the
   text fits the picture, with wrong partners drawn by the batch's similarities; mlm, masked words predicted from the
   other words and the picture. itm and mlm read both through one more Transformer layer, the fusion.
2. relevance: a copy of it all learns t(q, v), the logit that picture v fits query q, from searches and drawn pictures.
3. retrieval: towers alone learn from the same searches, L = itc(q, v) + distil BCE(a cos(q, v) + b, sigmoid t(q, v)),
   the second over each query's own picture and those of the batch that its tower confuses it with.

The relevance model reads query and picture together, so it knows that pictures without clicks may fit too; the towers
learn this from its scores, where contrast alone calls them wrong.

Our choices: the paper's relevance labels are human; here a search's own picture fits and drawn ones do not. Without
searches, an item's text is the query for the item its user took next. Queries of the same words or the same item are
not negatives. ``stages`` leaves some out; their epochs go to the last one. Vectors are means of tokens, projected.
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
from palate.core.context import RunContext
from palate.losses.contrastive import info_nce
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.image_text_fusion import ImageTextFusionPretrainer, matching_loss
from palate.models.pretrain.shared.queries import Queries, QuerySource, false_negatives
from palate.modules.pair_reader import sample_pairs, take_tokens

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from palate.data.views import TrainView

NO_QUERY, MAX_EVAL_PAIRS = -1, 1000
Stage = Literal["base", "relevance", "retrieval"]


@pretrainers.register("adapted_clip")
class AdaptedCLIP(ImageTextFusionPretrainer):
    """Pictures for queries: pretrained, then distilled from a relevance model.

    Attributes:
        copied: bool scalar, whether the relevance model has started from the base; a resumed run must know.
    """

    copied: Tensor

    name = "adapted_clip"
    paper = "Wen et al., Enhancing Dynamic Image Advertising with Vision-Language Pre-training, SIGIR 2023"
    requirements = Requirements(content=True, queries=True)

    class Config(ImageTextFusionPretrainer.Config):
        """Settings of the stages."""

        stages: tuple[Stage, ...] = Field(
            ("base", "relevance", "retrieval"),
            min_length=1,
            description="stages that are run, each for at most the given epochs",
        )
        queries: QuerySource = Field(
            "auto",
            description="typed words, the text of the previous item (next), or typed if there are any (auto)",
        )
        distil: float = Field(1.0, ge=0, description="weight of the relevance model's scores; 0 leaves them out")
        rivals: int = Field(4, ge=1, description="pictures of the batch that the relevance model scores for a query")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, rows = self.config, np.arange(train.n_items)
        self.relevance = copy.deepcopy(self.base)
        # it scores pairs alone: no vectors, no masked words
        for unused in (self.relevance.guess, *(self.relevance.part(m)["head"] for m in self.networks)):
            unused.requires_grad_(False)
        self.register_buffer("copied", torch.tensor(False))
        self.steep, self.shift = nn.Parameter(torch.tensor(5.0)), nn.Parameter(torch.tensor(0.0))
        self.queries = Queries(train, c.queries, self.name, run.seed)
        trained, held_out = np.isin(rows, self.train_items), np.isin(rows, self.eval_items)
        self.pairs = self.queries.pairs_between(trained, trained)
        self.eval_pairs = self.queries.pairs_between(trained, held_out)[:MAX_EVAL_PAIRS]

    def trainable(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return image

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """(query, item) of searches, and (-1, item) of all items, int64 [n, 2]."""
        single = np.stack([np.full(len(self.train_items), NO_QUERY), self.train_items], axis=1)
        return np.concatenate([self.pairs, single]).astype(np.int64)

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
        # retrieval of held-out items does not measure the relevance model
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
        """Token ids [B, T] of the batch's queries, and the rows [B] of the items taken for them."""
        pairs = batch.rows[batch.rows[:, 0] != NO_QUERY]
        return self.queries.ids(pairs[:, 0]), pairs[:, 1]

    def relevance_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Cross-entropy of matching: each search's own picture, and others drawn uniformly from the batch."""
        if not self.copied:
            self.relevance.load_state_dict(self.base.state_dict())
            self.copied.fill_(True)
        ids, items = self.searched(batch)
        if not len(items):
            return {"loss": self.relevance.match.bias.sum() * 0}
        words = self.relevance.read("text", ids)
        regions = self.relevance.read("image", self.inputs.read("image", items))
        own = torch.arange(len(items), device=items.device)
        query, wrong = sample_pairs(~false_negatives(ids, items), self.config.rivals)
        texts, images = torch.cat([own, query]), torch.cat([own, wrong])
        logits = self.relevance.match_logits(take_tokens(words, texts), take_tokens(regions, images))
        return {"loss": matching_loss(logits, len(own))}

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Loss of the last stage."""
        return self.retrieval_loss(batch)

    def retrieval_loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Contrast of queries with the pictures taken for them, and distillation of the relevance model."""
        ids, items = self.searched(batch)
        if len(items) < 2:
            return {"loss": self.scale * 0}
        pictures = self.inputs.read("image", items)
        a = self.base.vector("text", self.base.read("text", ids))
        b = self.base.vector("image", self.base.read("image", pictures))
        out = {"itc": info_nce(a, b, self.temperature, symmetric=True, false_negatives=false_negatives(ids, items))}
        loss = out["itc"]
        if self.config.distil and "relevance" in self.config.stages:
            out["kd"] = self.distillation(a @ b.T, ids, pictures)
            loss = loss + self.config.distil * out["kd"]
        return {"loss": loss, **out}

    def distillation(self, cosines: Tensor, ids: Tensor, pictures: Tensor) -> Tensor:
        """Cross-entropy of a cos + b against the relevance model's probability that a picture fits a query.

        Args:
            cosines: float [B, B], of queries with pictures.
            ids: int64 [B, T], token ids of the queries.
            pictures: float [B, 3, S, S].

        Returns:
            A scalar.
        """
        own = torch.arange(len(ids), device=ids.device)
        others = cosines.detach().clone().fill_diagonal_(-torch.inf).topk(min(self.config.rivals, len(ids) - 1), 1)
        columns = torch.cat([own[:, None], others.indices], 1)
        with torch.no_grad():
            teacher = self.relevance.eval()
            words, regions = teacher.read("text", ids), teacher.read("image", pictures)
            texts = own[:, None].expand_as(columns).flatten()
            targets = teacher.match_logits(take_tokens(words, texts), take_tokens(regions, columns.flatten())).sigmoid()
        logits = self.steep * cosines.gather(1, columns).flatten() + self.shift
        return F.binary_cross_entropy_with_logits(logits, targets)

    def validation_score(self) -> float:
        """Mean reciprocal rank of a query's picture among the held-out ones; of a text's, without queries."""
        if not len(self.eval_items):
            return float("nan")
        with torch.inference_mode():
            pictures = self.vectors("image", self.eval_items, lambda rows: self.inputs.read("image", rows))
            if len(self.eval_pairs):
                texts = self.vectors("text", self.eval_pairs[:, 0], self.queries.ids)
            else:
                texts = self.vectors("text", self.eval_items, self.ids)
            items = self.eval_pairs[:, 1] if len(self.eval_pairs) else self.eval_items
            target = torch.from_numpy(np.searchsorted(self.eval_items, items)).to(self.device)
            return reciprocal_rank(texts, pictures, target)
