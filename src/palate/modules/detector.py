"""A fixed judge of what regions look like, where no trained object detector is at hand."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10.0


class Detector(nn.Module):
    """A frozen copy of an image tower as it is now: standardised features of its tokens, and classes.

    Classes are regions picked at random from pictures, their distribution the softmax of ten times the cosines to them.
    Nothing is learnt, so models that guess its answers cannot make them all alike.

    Args:
        tower: inputs -> tokens [B, R, d] and their mask. pictures: inputs to take statistics and classes from.
        classes: how many. generator: picks them.
    """

    centre: Tensor
    spread: Tensor
    kinds: Tensor

    def __init__(self, tower: nn.Module, pictures: Tensor, classes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.tower = copy.deepcopy(tower).requires_grad_(False)
        with torch.no_grad():
            cells = self.tower(pictures)[0].flatten(0, 1)
        self.register_buffer("centre", cells.mean(0))
        self.register_buffer("spread", cells.std(0).clamp(min=1e-4))
        picked = torch.randint(len(cells), (classes,), generator=generator)
        self.register_buffer("kinds", F.normalize((cells[picked] - self.centre) / self.spread, dim=1))

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Tensor:
        """Features float32 [B, R, d], without gradient."""
        features: Tensor = (self.tower(pictures)[0] - self.centre) / self.spread
        return features

    def classes(self, features: Tensor) -> Tensor:
        """Probabilities [..., classes] of features [..., d]."""
        return (F.normalize(features, dim=-1) @ self.kinds.T * SHARPNESS).softmax(-1)
