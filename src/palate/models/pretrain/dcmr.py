"""DCMR (van den Oord, Dieleman & Schrauwen, NIPS 2013): sound alone predicts a track's collaborative factors.

X, Y minimise sum_ui c_ui (p_ui - x_u y_i)^2 + reg (|X|^2 + |Y|^2) by alternating least squares; then a network y'
minimises sum_i ||y_i - y'_i||^2 (``mse``, the better one in the paper) or sum_ui c_ui (p_ui - x_u y'_i)^2 (``wpe``).

Our choices: plays are not counted here, so c is one number, that of the paper for a single play, 1 + 2 log(1 + 1e6);
the net is the small tower (its mean over time stands for the pooling over time and the dense layers); any one modality
may stand in for sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import scipy.sparse as sp
import torch
from pydantic import Field
from torch import Tensor

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.losses.factors import weighted_prediction
from palate.models.pretrain.shared.factors import FactorRegression
from palate.models.pretrain.shared.inputs import ItemInputs

if TYPE_CHECKING:
    from palate.data.views import TrainView

PREFERRED = ("audio", "image", "text")


@pretrainers.register("dcmr")
class DCMR(FactorRegression):
    """Deep content-based music recommendation."""

    name = "dcmr"
    paper = "van den Oord et al., Deep content-based music recommendation, NIPS 2013"
    presets = {"mse": {"objective": "mse"}, "wpe": {"objective": "wpe"}}

    class Config(FactorRegression.Config):
        """Settings of the regression."""

        modality: Literal["first", "audio", "image", "text"] = Field(
            "first", description="modality to learn from; first is the first of audio, image, text that items have"
        )
        objective: Literal["mse", "wpe"] = Field(
            "mse", description="squared error of factors (mse), or of weighted predictions (wpe)"
        )

    config: Config

    def select_modalities(self, inputs: ItemInputs) -> tuple[str, ...]:
        candidates = PREFERRED if self.config.modality == "first" else (self.config.modality,)
        return tuple(modality for modality in candidates if modality in inputs)[:1]

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.users_of_item = sp.csr_array(self.matrix.T)
        self.register_buffer("gram", self.user_factors.T @ self.user_factors, persistent=False)

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        if self.config.objective == "mse":
            return super().loss(batch)
        rows = batch.rows[:, 0]
        taken = self.users_of_item[rows.cpu().numpy()]
        owners = torch.from_numpy(np.repeat(np.arange(len(rows)), np.diff(taken.indptr))).to(rows.device)
        users = self.user_factors[torch.from_numpy(taken.indices.astype(np.int64)).to(rows.device)]
        assert isinstance(self.gram, Tensor)
        return {"loss": weighted_prediction(self.encode(rows), self.gram, users, owners, self.config.confidence)}
