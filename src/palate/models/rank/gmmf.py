"""GMMF, from abstract to details (Xiao et al., ACM MM 2022): of a modality, what the item's id does not tell already.

Difference-set network, for each modality x of an item with id vector e:

- auto-encoder h = relu(A x), x' = B h, L_rec = |x - x'|^2;
- a generator imagines the modality from the id, g = G(e); a discriminator D([e ; e - v ; e * v ; v]) tells h from g;
- difference d = h - sigmoid(W [h ; g ; h * g ; h - g]) * g.

Modal-interest network: the history's d are summed with weights relu(cos(d_j, d_t)); gates, softmax over dimensions of
MLP(user), weigh the dimensions of the id and of each modality. logit = MLP([user, e, and for the id and each modality:
its gated candidate vector and its gated history]).

L = L_click + ``reconstruction`` L_rec + L_D + L_G: all networks move in each step, where the paper alternates; each
adversarial loss reaches its own network alone, at ``adversarial_lr`` times the learning rate, after the epoch
``adversarial_from``. Further choices: x is at unit length and h are compared as they are; gates are times dim, so that
they are 1 on average; the history of ids is pooled as those of modalities are. From a third party's description.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.content_ranker import ContentRanker, ContentRankerConfig
from palate.models.rank.shared.seen_items import SeenItems
from palate.modules.adversarial import held_constant
from palate.modules.interactions import multilayer


@models.register("gmmf")
class GMMF(ContentRanker):
    """Click-through prediction from the difference of modalities and ids."""

    name = "gmmf"
    paper = (
        "Xiao et al., From Abstract to Details: A Generative Multimodal Fusion Framework for Recommendation, MM 2022"
    )

    class Config(ContentRankerConfig):
        """Settings."""

        difference: bool = Field(True, description="read the difference; else modalities as they are encoded")
        reconstruction: float = Field(0.05, ge=0, description="weight of the reconstruction of modalities")
        adversarial_lr: float = Field(0.1, gt=0, description="factor on lr for generators and discriminators")
        adversarial_from: int = Field(1, ge=0, description="epochs before generators and discriminators are trained")

    config: Config

    def build_reader(self, dim: int) -> int:
        c, modalities = self.config, len(self.content.names)
        self.epochs_done = 0
        self.decode = nn.ModuleList(nn.Linear(dim, linear.in_features) for linear in _linear(self.content.maps))
        self.imagine, self.tell, self.remove = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        for _ in range(modalities if c.difference else 0):
            self.imagine.append(multilayer(dim, (dim,), out=dim))
            self.tell.append(multilayer(4 * dim, (dim,)))
            self.remove.append(nn.Linear(4 * dim, dim))
        self.gate = multilayer(dim, (dim,), out=(1 + modalities) * dim)
        return 2 * (1 + modalities) * dim

    def details(self, index: int, ids: Tensor, encoded: Tensor) -> Tensor:
        """The difference of a modality and of what the id says of it, float32 [n, dim].

        Args:
            index: of the modality.
            ids: float32 [n, dim].
            encoded: float32 [n, dim], h.
        """
        if not self.config.difference:
            return encoded
        # generators learn from discriminators alone
        told = self.imagine[index](ids).detach()
        compared = torch.cat([encoded, told, encoded * told, encoded - told], 1)
        details: Tensor = encoded - self.remove[index](compared).sigmoid() * told
        return details

    def read(self, batch: ImpressionBatch, seen: SeenItems, learning: bool) -> tuple[Tensor, dict[str, Tensor]]:
        ids, encoded = self.item_fields(seen), self.content(seen.rows).relu()
        present = self.content.present(seen.rows)
        views = [ids] + [
            self.details(index, ids, encoded[:, index]) * present[:, index : index + 1]
            for index in range(encoded.shape[1])
        ]
        gates = self.gate(self.fields_of("user", batch.users)).view(len(batch), len(views), -1).softmax(-1)
        parts = []
        for view, gate in zip(views, gates.unbind(1)):
            item = seen.of_candidates(view)
            pooled = interest(item, seen.of_events(view), seen.there)
            parts += [item * gate * gate.shape[1], pooled * gate * gate.shape[1]]
        losses: dict[str, Tensor] = {}
        if learning and self.multimodal:
            each = [self.own_losses(i, seen.rows, ids, encoded[:, i], present[:, i]) for i in range(encoded.shape[1])]
            losses = {name: torch.stack([one[name] for one in each]).sum() for name in each[0]}
        return torch.cat(parts, 1), losses

    def own_losses(self, index: int, rows: Tensor, ids: Tensor, encoded: Tensor, present: Tensor) -> dict[str, Tensor]:
        """Weighted losses of the networks of one modality: ``reconstruction``, ``discriminator`` and ``generator``.

        Args:
            index: of the modality.
            rows: int64 [n], items.
            ids: float32 [n, dim].
            encoded: float32 [n, dim].
            present: bool [n]; others teach nothing.
        """
        c, count = self.config, present.sum().clamp(min=1)
        ids, h = ids[present].detach(), encoded[present]
        wanted = self.content.unit(self.content.names[index], rows[present])
        out = {"reconstruction": c.reconstruction * (self.decode[index](h) - wanted).square().sum() / count}
        if c.difference and self.epochs_done >= c.adversarial_from:
            told, tell = self.imagine[index](ids), self.tell[index]
            real, false = (tell(evidence(ids, one.detach()))[:, 0] for one in (h, told))
            fooled = held_constant(tell, evidence(ids, told))[:, 0]
            out["discriminator"] = (F.softplus(-real) + F.softplus(false)).sum() / count
            out["generator"] = F.softplus(-fooled).sum() / count
        return out

    def loss(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        terms = super().loss(batch)
        # opposed losses have no minimum in common: they bring their gradients, not their values
        opposed = [terms[name].detach() for name in ("discriminator", "generator") if name in terms]
        return {**terms, "loss": terms["loss"] - sum(opposed)}

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        self.epochs_done = epoch

    def phases(self) -> list[Phase]:
        train = self.phase("train")
        slow = [*self.imagine.parameters(), *self.tell.parameters()]
        return [replace(train, groups=train.slowed(slow, self.config.adversarial_lr))]


def evidence(ids: Tensor, vectors: Tensor) -> Tensor:
    """Input of a discriminator, float32 [n, 4 dim]: [e ; e - v ; e * v ; v]."""
    return torch.cat([ids, ids - vectors, ids * vectors, vectors], 1)


def interest(target: Tensor, history: Tensor, there: Tensor) -> Tensor:
    """Mean over the history of relu(cos(d_j, d_t)) d_j, float32 [n, dim]; zero where it is empty.

    Args:
        target: float32 [n, dim].
        history: float32 [n, length, dim].
        there: bool [n, length].
    """
    weights = F.cosine_similarity(target[:, None], history, dim=-1).relu() * there
    return (weights[..., None] * history).sum(1) / there.sum(1, keepdim=True).clamp(min=1)


def _linear(maps: nn.ModuleList) -> list[nn.Linear]:
    return [layer for layer in maps if isinstance(layer, nn.Linear)]
