"""PPM, the plug-in (Gao et al., WWW 2024): a click model of modalities alone, pretrained and then joined to a ranker.

Stage 1: the candidate's modalities, fused to x_t, and those of the history go through a Transformer together; its state
h_t at the candidate gives the logit w . h_t. No id is read, and clicks are what it learns from. Stage 2: the ranker of
ids, here DIN, also reads x_t and h_t; ``pretrained`` says what becomes of the plug-in:

- ``finetune``: pretrained, then trained along; ``frozen``: pretrained, then left as it is;
- ``random``: trained along without stage 1; ``none``: there is no plug-in.

The paper's encoders (query matching, entity prediction) are :mod:`palate.models.pretrain.ppm`, whose vectors may be
given here. Our choices: both stages learn from the same log, where the paper's first has a longer one; DIN stands for
its ranker; the inner shape of the Transformer, which the paper draws but does not define.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.behaviour import BehaviourTransformer
from palate.modules.combine import Mean
from palate.modules.target_attention import TargetAttention


class PlugIn(nn.Module):
    """A click model over vectors of items.

    Args:
        dim: width of vectors.
        longest: items of a history.
        layers: of the Transformer.
        heads: of the Transformer.
    """

    def __init__(self, dim: int, longest: int, layers: int, heads: int) -> None:
        super().__init__()
        self.behaviour = BehaviourTransformer(dim, longest + 1, layers, heads)
        self.out = nn.Linear(dim, 1)

    def forward(self, item: Tensor, history: Tensor, there: Tensor) -> Tensor:
        """States at the candidates, float32 [n, dim].

        Args:
            item: float32 [n, dim].
            history: float32 [n, length, dim].
            there: bool [n, length], False at padding.
        """
        tokens = torch.cat([history, item[:, None]], 1)
        present = torch.cat([there, there.new_ones(len(item), 1)], 1)
        states: Tensor = self.behaviour(tokens, present)
        return states[:, -1]


@models.register("ppm_ranker")
class PPMRanker(ContentRanker):
    """Click-through prediction with a pretrained model of modalities plugged into a ranker of ids."""

    name = "ppm_ranker"
    paper = "Gao et al., PPM: A Pre-trained Plug-in Model for Click-through Rate Prediction, WWW 2024"

    class Config(ContentRankerConfig):
        """Settings."""

        pretrained: Literal["finetune", "frozen", "random", "none"] = Field(
            "finetune", description="the plug-in is pretrained and trained along, pretrained and frozen, not "
            "pretrained, or left out"
        )  # fmt: skip
        pretrain_epochs: int = Field(3, ge=1, description="epochs of stage 1")
        layers: int = Field(1, ge=1, description="layers of the plug-in's Transformer")
        heads: int = Field(2, ge=1, description="attention heads; they divide dim")

    config: Config

    def build_reader(self, dim: int) -> int:
        c = self.config
        self.attend = TargetAttention(dim, c.attention)
        if not self.multimodal or c.pretrained == "none":
            self.plug_in = None
            return 3 * dim
        self.plug_in = PlugIn(dim, c.longest, c.layers, c.heads)
        return 5 * dim

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        ids = self.item_fields(seen)
        item = seen.of_candidates(ids)
        pooled = self.attend(item, seen.of_events(ids), seen.there)
        parts = [item, pooled, item * pooled]
        if self.plug_in is not None:
            with torch.set_grad_enabled(torch.is_grad_enabled() and self.config.pretrained != "frozen"):
                parts += self.plugged(self.plug_in, seen)
        return torch.cat(parts, 1), {}

    def plugged(self, plug_in: PlugIn, seen: SeenItems) -> tuple[Tensor, Tensor]:
        """Fused modalities of candidates, and the plug-in's states at them, float32 [n, dim] each."""
        fused = Mean()(self.content(seen.rows), self.content.present(seen.rows))
        item = seen.of_candidates(fused)
        return item, plug_in(item, seen.of_events(fused), seen.there)

    def pretraining_loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        """Loss of clicks predicted from modalities alone."""
        assert self.plug_in is not None
        _, states = self.plugged(self.plug_in, SeenItems.of(batch, self.config.longest))
        return {"loss": self.click_loss(self.plug_in.out(states)[:, 0], batch)}

    def phases(self) -> list[Phase]:
        """Stage 1 where there is one, which no validation stops, and stage 2."""
        train = self.phase("train")
        if self.plug_in is None:
            return [train]
        own = [*self.content.parameters(), *self.plug_in.parameters()]
        head = {id(parameter) for parameter in self.plug_in.out.parameters()}
        # the head of stage 1 is not read in stage 2
        fixed = {id(parameter) for parameter in own} if self.config.pretrained == "frozen" else head
        train = replace(train, groups=[parameter for parameter in train.parameters if id(parameter) not in fixed])
        if self.config.pretrained == "random":
            return [train]
        epochs = min(self.config.pretrain_epochs, self.config.epochs)
        return [
            self.phase("pretrain", loss=self.pretraining_loss, groups=own, epochs=epochs, validate=False), train
        ]  # fmt: skip
