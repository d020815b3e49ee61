"""Agreement of two views of one entity, without negatives (BYOL, Grill et al., NeurIPS 2020)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from palate.modules.towers import pooled


class MomentumEncoder(nn.Module):
    """A tower with projector and predictor, and a moving average of tower and projector that gives the targets.

    Args:
        tower: inputs -> tokens [B, T, dim] and their mask; shared with its owner, trained here.
        dim: output width of projector and predictor.
        hidden: hidden width of projector and predictor.
        momentum: of the average; at 0 the targets are the present outputs without gradient (SimSiam, Chen & He,
            CVPR 2021).
    """

    moves_without_gradient = True

    def __init__(self, tower: nn.Module, dim: int, hidden: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.online = nn.ModuleDict({"tower": tower, "projector": projection_mlp(dim, hidden)})
        self.predictor = projection_mlp(dim, hidden)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """Parameters that the optimiser updates."""
        return [*self.online.parameters(), *self.predictor.parameters()]

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Predict each view's target from the other view; every call updates the average.

        Args:
            one: first views [B, ...], B >= 2.
            other: second views [B, ...].

        Returns:
            Predictions and targets, [2B, dim] each.
        """
        views = torch.cat([one, other])
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.online.parameters()):
                slow.lerp_(fast, 1 - self.momentum)
            targets = project(self.target, views).roll(len(one), 0)
        return self.predictor(project(self.online, views)), targets


def projection_mlp(dim: int, hidden: int) -> nn.Sequential:
    """Two layers with batch normalisation, which prevents collapse of the outputs to a constant.

    Args:
        dim: input and output width.
        hidden: hidden width.
    """
    return nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim))


def project(network: nn.ModuleDict, inputs: Tensor) -> Tensor:
    """Projected means of tokens [B, dim], by the ``tower`` and the ``projector`` of ``network``."""
    out: Tensor = network["projector"](pooled(network["tower"](inputs)))
    return out
