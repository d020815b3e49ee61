"""LiT (Zhai et al., CVPR 2022): pictures and texts find each other while what reads the pictures stays locked.

L = 1/2 [CE(rows) + CE(columns)] of exp(s) cos(image, text), as in CLIP, over vectors x of encoders that exist:
image = P_i norm(A_i (x - mean) / scale) and text alike, where A leads to a bottleneck of ``dim`` and P to the shared
space of ``width``.

Our choices: the paper locks the picture tower and trains the text tower; here both are locked (EfficientNet-Lite0 and
MiniLM by default), since catalogues are small, and only two heads learn. A minute of training instead of hours, and
vectors are read from the store. Items with the same text are not each other's negatives. The exported encoders map
new pictures and texts, so that words find pictures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import pretrainers
from palate.core.errors import ConfigError
from palate.models.pretrain.shared.contrastive import ContrastConfig, ContrastivePretrainer
from palate.modules.towers import VectorTower

if TYPE_CHECKING:
    from palate.core.context import RunContext
    from palate.data.views import TrainView


@pretrainers.register("lit")
class LiT(ContrastivePretrainer):
    """Heads that bring the vectors of existing encoders of pictures and texts into one space."""

    name = "lit"
    paper = "Zhai et al., LiT: Zero-Shot Transfer with Locked-image text Tuning, CVPR 2022"
    pairs = (("image", "text"),)
    default_readers = {"text": "minilm", "image": "efficientnet_lite0"}
    supports_init = False

    class Config(ContrastConfig):
        """Settings of the heads."""

        dim: int = Field(256, ge=8, description="width of the bottleneck of each head")
        width: int = Field(128, ge=2, description="width of the shared space")
        lr: float = Field(1e-3, gt=0, description="learning rate", json_schema_extra={"search": "1e-4..1e-2:log"})

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the heads and standardise what they read.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items lack pictures or texts, or one of them is not read as vectors.
        """
        super().setup(train, run)
        text = self.inputs.features["text"]
        same = np.unique(text.values * text.present[:, None], axis=0, return_inverse=True)[1]
        self.text_twins = torch.from_numpy(same.reshape(-1).astype(np.int64))
        learnt = torch.from_numpy(self.train_items)
        for modality in self.networks:
            tower = self.parts.get_submodule(f"{modality}.tower")
            assert isinstance(tower, VectorTower)
            tower.fit(self.inputs.read(modality, learnt))

    def tower_of(self, modality: str) -> dict[str, Any]:
        if not self.inputs.frozen(modality):
            hint = f"read it as {self.default_readers[modality]}, or by an encoder that was pretrained before"
            raise ConfigError(f"{self.name} learns from vectors", key=modality, hint=hint)
        return {"kind": "vector", "inputs": self.inputs.features[modality].dim, "dim": self.config.dim}

    def twins(self, modality: str) -> Tensor | None:
        return self.text_twins
