"""Fixed labels of regions, for use without a trained object detector."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10.0
"""Factor of the cosines in the distribution over classes."""


class RegionLabeller(nn.Module):
    """A frozen copy of an image tower in its present state: standardised features of its tokens, and classes.

    Classes are regions picked at random from pictures, their distribution the softmax of ten times the cosines to them.
    Nothing is learnt, so models that predict the labels cannot make them collapse.

    Args:
        tower: inputs -> tokens [B, R, d] and their mask.
        pictures: inputs that give statistics and classes.
        classes: their number.
        generator: draws the classes.
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
