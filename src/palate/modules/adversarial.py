"""Parts of adversarial training inside one loss: reversed gradients, discriminators, networks held constant."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Reverse(torch.autograd.Function):
    """The identity, whose gradient changes its sign."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return -gradients[0]


def reverse_gradient(x: Tensor) -> Tensor:
    """``x``, through which gradients flow with the opposite sign (Ganin & Lempitsky, ICML 2015)."""
    out: Tensor = _Reverse.apply(x)
    return out


def held_constant(network: nn.Module, *inputs: Tensor) -> Tensor:
    """Output of a network whose weights receive no gradient, while its inputs do.

    Args:
        network: for example a discriminator, while the generator learns.
        inputs: of its ``forward``.
    """
    constants = {name: parameter.detach() for name, parameter in network.named_parameters()}
    out: Tensor = torch.func.functional_call(network, constants, inputs)
    return out


class DoubleDiscriminator(nn.Module):
    """MARN's two discriminators of modalities (Li et al., WWW 2020).

    The first learns which modality a vector comes from, and gives the vector the weight 1 - p(its own modality): what
    it cannot tell counts more. The second plays against the vectors, weighted so, through reversed gradients.

    Args:
        dim: width of vectors.
        modalities: number of modalities, at least 2.
    """

    def __init__(self, dim: int, modalities: int) -> None:
        super().__init__()
        self.weigh, self.oppose = (
            nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, modalities)) for _ in range(2)
        )

    def forward(self, vectors: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Mean losses of both discriminators over the vectors that are present, two scalars.

        Args:
            vectors: float32 [n, modalities, dim].
            present: bool [n, modalities].
        """
        own = torch.arange(vectors.shape[1], device=vectors.device).expand_as(present)[present]
        shown = vectors[present]
        guess = self.weigh(shown.detach())
        weight = 1 - guess.detach().softmax(1).gather(1, own[:, None])[:, 0]
        first = F.cross_entropy(guess, own)
        second = F.cross_entropy(self.oppose(reverse_gradient(shown)), own, reduction="none")
        return first, (weight * second).sum() / max(len(own), 1)
