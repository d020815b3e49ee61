"""Moving average of the weights of a network."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage(nn.Module):
    """average = d average + (1 - d) weights with d = min(decay, (1 + n) / (10 + n)) at the n-th update.

    The smaller d of early updates forgets the weights that training started from.

    Args:
        network: whose weights are averaged; not part of this module.
        decay: below 1.
    """

    moves_without_gradient = True
    updates: Tensor

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Take one step towards the present weights.

        Args:
            network: of the shape of the first.
        """
        done = int(self.updates)
        decay = min(self.decay, (1 + done) / (10 + done))
        for slow, fast in zip(self.average.parameters(), network.parameters()):
            slow.lerp_(fast, 1 - decay)
        self.updates += 1
