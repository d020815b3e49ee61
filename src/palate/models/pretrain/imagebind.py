"""ImageBind (Girdhar et al., CVPR 2023): one modality is the hub, every other is tied to it alone.

L_(hub, m) is symmetric InfoNCE; two spokes become comparable without ever having been trained together.

Our choices: any modality may be the hub, its tower is trained with the others (the paper's comes frozen from CLIP), and
each tie learns its own temperature. With ``hub=id`` an item's behaviour is the hub: v_i are factors of a weighted
factorisation of the training positives, frozen as the paper's hub is, and every modality is tied to the projected
W v_i, W learnt. Items that nobody took have no v and take part in no tie; their content is encoded like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.core.errors import ConfigError
from palate.core.model import pretrainers
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.contrastive import Contrastive
from palate.models.pretrain.shared.inputs import KINDS
from palate.modules.factorise import weighted_factors

if TYPE_CHECKING:
    from palate.data.views import TrainView

ID = "id"


@pretrainers.register("imagebind")
class ImageBind(Contrastive):
    """All modalities in one space, through a hub.

    Attributes:
        ids: float32 [n_items, width], what behaviour says of items; where the hub is ``id``.
    """

    name = "imagebind"
    paper = "Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023"
    ids: Tensor

    class Config(Contrastive.Config):
        """Settings.

        Attributes:
            hub: what all modalities, or all others, are tied to.
            confidence: weight of what was taken against 1 for what was not. reg, sweeps: of the factorisation.
        """

        hub: Literal["text", "image", "audio", "id"] = "image"
        confidence: float = Field(28.6, ge=1)
        reg: float = Field(1.0, gt=0)
        sweeps: int = Field(10, ge=1)

    def wanted(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.config.hub, spoke) for spoke in KINDS if spoke != self.config.hub)

    def reads(self) -> tuple[str, ...]:
        return tuple(modality for modality in super().reads() if modality != ID)

    def given(self, train: TrainView) -> dict[str, NDArray[np.bool_]]:
        c = self.config
        if c.hub != ID:
            return {}
        if not (np.diff(train.matrix.indptr) > 1).any():
            raise ConfigError(
                "behaviour relates no items: nobody took two", key="hub=id", hint="take a modality as hub"
            )
        rng = rng_for(train.seed, "factors", self.name)
        _, found = weighted_factors(train.matrix, c.width, confidence=c.confidence, reg=c.reg, sweeps=c.sweeps, rng=rng)
        self.register_buffer("ids", torch.from_numpy(found), persistent=False)
        self.project = nn.Linear(c.width, c.width, bias=False)
        return {ID: train.warm_items}

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        if modality != ID:
            return super().vectors(modality, rows)
        return nn.functional.normalize(self.project(self.ids[rows]), dim=1)
