"""ImageBind (Girdhar et al., CVPR 2023): one modality is the anchor, and every other is aligned with it alone.

L_(anchor, m) is symmetric InfoNCE; two other modalities become comparable without ever having been trained together.

Our choices: any modality may be the anchor, its tower is trained with the others (the paper's comes frozen from CLIP),
and each pair learns its own temperature. With ``anchor=id`` an item's behaviour is the anchor: v_i are factors of a
weighted factorisation of the training positives, frozen as the paper's anchor is, and every modality is aligned with
the projected W v_i, W learnt. Items without positives have no v and are in no pair; their content is encoded like any
other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import pretrainers
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.contrastive import ContrastivePretrainer
from palate.models.pretrain.shared.inputs import MODALITIES
from palate.modules.factorise import weighted_factors

if TYPE_CHECKING:
    from palate.data.views import TrainView

ID = "id"


@pretrainers.register("imagebind")
class ImageBind(ContrastivePretrainer):
    """All modalities in one space, through an anchor.

    Attributes:
        ids: float32 [n_items, width], factors of items; where the anchor is ``id``.
    """

    name = "imagebind"
    paper = "Girdhar et al., ImageBind: One Embedding Space To Bind Them All, CVPR 2023"
    ids: Tensor

    class Config(ContrastivePretrainer.Config):
        """Settings of the anchor."""

        anchor: Literal["text", "image", "audio", "id"] = Field(
            "image", description="modality that all others are aligned with; id is the items' behaviour"
        )
        confidence: float = Field(28.6, ge=1, description="weight of a positive in the factorisation; others have 1")
        reg: float = Field(1.0, gt=0, description="L2 penalty of the factorisation")
        sweeps: int = Field(10, ge=1, description="sweeps of alternating least squares of the factorisation")

    config: Config

    def modality_pairs(self) -> tuple[tuple[str, str], ...]:
        return tuple((self.config.anchor, partner) for partner in MODALITIES if partner != self.config.anchor)

    def reads(self) -> tuple[str, ...]:
        return tuple(modality for modality in super().reads() if modality != ID)

    def extra_modalities(self, train: TrainView, run: RunContext) -> dict[str, NDArray[np.bool_]]:
        """Factorise the positives if the anchor is ``id``.

        Args:
            train: training view.
            run: seed of what is drawn.

        Returns:
            ``id`` -> bool [n_items], items that users took; empty with another anchor.

        Raises:
            ConfigError: if no user took two items.
        """
        c = self.config
        if c.anchor != ID:
            return {}
        if not (np.diff(train.matrix.indptr) > 1).any():
            raise ConfigError(
                "behaviour relates no items: no user took two", key="anchor=id", hint="take a modality as anchor"
            )
        rng = rng_for(run.seed, "factors", self.name)
        _, items = weighted_factors(train.matrix, c.width, confidence=c.confidence, reg=c.reg, sweeps=c.sweeps, rng=rng)
        self.register_buffer("ids", torch.from_numpy(items), persistent=False)
        self.project = nn.Linear(c.width, c.width, bias=False)
        return {ID: train.warm_items}

    def vectors(self, modality: str, rows: Tensor) -> Tensor:
        if modality != ID:
            return super().vectors(modality, rows)
        return nn.functional.normalize(self.project(self.ids[rows]), dim=1)
