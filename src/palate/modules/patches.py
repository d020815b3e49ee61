"""Pictures as how much each part of them looks like each of some small patches: one layer, learnt without a label.

One wide layer with coarse places keeps up with deep networks where pictures are few (Coates, Lee & Ng, AISTATS 2011).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.towers import Tokens, towers

FLOOR = 0.01
"""Variance below which a patch counts as flat; pixels are in [-1, 1]."""
EVEN = 0.1
"""Added to the variance of each direction before it is made 1, so that noise is not blown up."""
SLACK = 1e-4
"""The slope of a root is infinite at 0."""


@towers.register("patches")
class PatchTower(nn.Module):
    """Pictures float32 [B, 3, S, S] -> one token [B, 1, dim].

    A patch p, its mean taken off and its contrast made 1, is whitened, z = (p - mean) white; atom k says
    relu(z a_k / |a_k| - threshold). The means of that over each cell of a grid, and over the mirrored picture, are the
    square of the token.

    Args:
        dim: ``grid ** 2`` times the number of atoms. size: of patches, in pixels. grid: cells on a side.
        threshold: below it an atom is silent.

    Attributes:
        final: the token can be the vector, without a map behind it.
    """

    final = True
    mean: Tensor
    white: Tensor

    def __init__(self, dim: int = 6400, size: int = 8, grid: int = 4, threshold: float = 0.5) -> None:
        super().__init__()
        self.size, self.grid, self.threshold = size, grid, threshold
        wide = 3 * size**2
        self.atoms = nn.Parameter(torch.randn(dim // grid**2, wide))
        self.register_buffer("mean", torch.zeros(wide))
        self.register_buffer("white", torch.eye(wide))

    def forward(self, pictures: Tensor) -> Tokens:
        found = (self.cells(pictures) + self.cells(pictures.flip(3))) / 2
        values = (found.flatten(1) + SLACK).sqrt()[:, None]
        return values, values.new_ones(values.shape[:2], dtype=torch.bool)

    def cells(self, pictures: Tensor) -> Tensor:
        """Mean of what atoms say in each cell [B, atoms, grid, grid]."""
        filters = F.normalize(self.atoms, dim=1) @ self.white.T
        offset = filters @ self.mean
        # to take a patch's mean off the patch or off the filter is the same
        kernel = (filters - filters.mean(1, keepdim=True)).view(len(filters), 3, self.size, self.size)
        first, second = (F.avg_pool2d(x.mean(1, keepdim=True), self.size, 1) for x in (pictures, pictures.square()))
        contrast = ((second - first.square()).clamp(min=0) + FLOOR).sqrt()
        said = F.conv2d(pictures, kernel) / contrast - offset[:, None, None]
        return F.adaptive_avg_pool2d(F.relu(said - self.threshold), self.grid)

    def whitened(self, patches: Tensor) -> Tensor:
        """z of patches [n, 3 * size ** 2] as cut."""
        return (even(patches) - self.mean) @ self.white

    @torch.no_grad()
    def begin(self, patches: Tensor) -> None:
        """Whiten as these patches [n, 3 * size ** 2] need it; the first of them become the atoms."""
        plain = even(patches)
        strength, axes = torch.linalg.eigh(torch.cov(plain.T).double())
        self.mean.copy_(plain.mean(0))
        self.white.copy_(axes * (strength.clamp(min=0) + EVEN).rsqrt() @ axes.T)
        found = self.whitened(patches[: len(self.atoms)])
        self.atoms[: len(found)] = F.normalize(found, dim=1) * self.atoms[: len(found)].norm(dim=1, keepdim=True)


def even(patches: Tensor) -> Tensor:
    """Patches without their mean and with contrast 1, about."""
    plain = patches - patches.mean(1, keepdim=True)
    return plain / (plain.square().mean(1, keepdim=True) + FLOOR).sqrt()


def cut(pictures: Tensor, size: int, count: int) -> Tensor:
    """``count`` random patches of each picture [B * count, 3 * size ** 2]; torch's global generator draws."""
    rows, columns = (
        torch.randint(side - size + 1, (len(pictures), count, 1, 1), device=pictures.device)
        for side in pictures.shape[2:]
    )
    step = torch.arange(size, device=pictures.device)
    which = torch.arange(len(pictures), device=pictures.device)[:, None, None, None]
    found = pictures[which, :, rows + step[:, None], columns + step]
    return found.permute(0, 1, 4, 2, 3).flatten(2).flatten(0, 1)
