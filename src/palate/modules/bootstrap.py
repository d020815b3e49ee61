"""Two views of one thing agree, without negatives (BYOL, Grill et al., NeurIPS 2020)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from palate.modules.towers import pooled


class Bootstrap(nn.Module):
    """A tower with projector and predictor, and a slowly moving average of tower and projector that sets the goals.

    Args:
        tower: inputs -> tokens [B, T, dim] and their mask; it is trained here and stays its owner's.
        dim, hidden: sizes of projector and predictor. momentum: of the average; at 0 the goals are the present outputs
            without gradient (SimSiam, Chen & He, CVPR 2021).
    """

    moves_without_gradient = True

    def __init__(self, tower: nn.Module, dim: int, hidden: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.online = nn.ModuleDict({"tower": tower, "projector": perceptron(dim, hidden)})
        self.predictor = perceptron(dim, hidden)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def trained(self) -> list[nn.Parameter]:
        """What the optimiser moves."""
        return [*self.online.parameters(), *self.predictor.parameters()]

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Predictions and goals [2B, dim] of B >= 2 things seen twice; the goals move on with every call."""
        seen = torch.cat([one, other])
        with torch.no_grad():
            for slow, fast in zip(self.target.parameters(), self.online.parameters()):
                slow.lerp_(fast, 1 - self.momentum)
            goals = project(self.target, seen).roll(len(one), 0)
        return self.predictor(project(self.online, seen)), goals


def perceptron(dim: int, hidden: int) -> nn.Sequential:
    """Two layers, normalised over the batch: what keeps the outputs from becoming all alike."""
    return nn.Sequential(nn.Linear(dim, hidden, bias=False), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, dim))


def project(network: nn.ModuleDict, inputs: Tensor) -> Tensor:
    """Projected means of tokens [B, dim]."""
    found: Tensor = network["projector"](pooled(network["tower"](inputs)))
    return found
