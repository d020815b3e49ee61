"""Pictures described by the similarity of their parts to learnt patches: one layer, trained without labels.

One wide layer with coarse places keeps up with deep networks where pictures are few (Coates, Lee & Ng, AISTATS 2011).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.towers import Tokens, towers

MIN_VARIANCE = 0.01
"""Variance below which a patch counts as flat; pixels are in [-1, 1]."""
WHITENING_EPS = 0.1
"""Added to the variance of each direction before it is made 1, so that noise is not amplified."""
SQRT_EPS = 1e-4
"""The slope of a root is infinite at 0."""


@towers.register("patches")
class PatchTower(nn.Module):
    """Pictures float32 [B, 3, S, S] -> one token [B, 1, dim].

    A patch p, its mean subtracted and its contrast made 1, is whitened, z = (p - mean) white; the response of filter k
    is relu(z a_k / |a_k| - threshold). The means of that over each cell of a grid, and over the mirrored picture, are
    the square of the token.

    Args:
        dim: ``grid ** 2`` times the number of filters.
        size: of patches, in pixels.
        grid: number of cells along each axis.
        threshold: a filter's response is 0 below it.

    Attributes:
        final: the token can be the vector, without a map behind it.
    """

    final = True
    mean: Tensor
    white: Tensor

    def __init__(self, dim: int = 6400, size: int = 8, grid: int = 4, threshold: float = 0.5) -> None:
        super().__init__()
        self.size, self.grid, self.threshold = size, grid, threshold
        n_pixels = 3 * size**2
        self.atoms = nn.Parameter(torch.randn(dim // grid**2, n_pixels))
        self.register_buffer("mean", torch.zeros(n_pixels))
        self.register_buffer("white", torch.eye(n_pixels))

    def forward(self, pictures: Tensor) -> Tokens:
        """One token [B, 1, dim] and its mask."""
        means = (self.cell_means(pictures) + self.cell_means(pictures.flip(3))) / 2
        values = (means.flatten(1) + SQRT_EPS).sqrt()[:, None]
        return values, values.new_ones(values.shape[:2], dtype=torch.bool)

    def cell_means(self, pictures: Tensor) -> Tensor:
        """Mean response of each filter in each cell [B, filters, grid, grid]."""
        filters = F.normalize(self.atoms, dim=1) @ self.white.T
        offset = filters @ self.mean
        # to subtract a patch's mean from the patch or from the filter is the same
        kernel = (filters - filters.mean(1, keepdim=True)).view(len(filters), 3, self.size, self.size)
        first, second = (F.avg_pool2d(x.mean(1, keepdim=True), self.size, 1) for x in (pictures, pictures.square()))
        contrast = ((second - first.square()).clamp(min=0) + MIN_VARIANCE).sqrt()
        response = F.conv2d(pictures, kernel) / contrast - offset[:, None, None]
        return F.adaptive_avg_pool2d(F.relu(response - self.threshold), self.grid)

    def whiten(self, patches: Tensor) -> Tensor:
        """z of raw patches [n, 3 * size ** 2]."""
        return (normalize_contrast(patches) - self.mean) @ self.white

    @torch.no_grad()
    def initialize(self, patches: Tensor, whiten: bool = True, filters_too: bool = True) -> None:
        """Fit the whitening to patches, and take the first of them as filters.

        Args:
            patches: raw, [n, 3 * size ** 2].
            whiten: False leaves contrast-normalised patches as they are.
            filters_too: False leaves the filters as they are.
        """
        if whiten:
            normed = normalize_contrast(patches)
            strength, axes = torch.linalg.eigh(torch.cov(normed.T).double())
            self.mean.copy_(normed.mean(0))
            self.white.copy_(axes * (strength.clamp(min=0) + WHITENING_EPS).rsqrt() @ axes.T)
        if not filters_too:
            return
        filters = self.whiten(patches[: len(self.atoms)])
        norms = self.atoms[: len(filters)].norm(dim=1, keepdim=True)
        self.atoms[: len(filters)] = F.normalize(filters, dim=1) * norms


def normalize_contrast(patches: Tensor) -> Tensor:
    """Patches [n, p] without their mean and with a contrast of about 1."""
    centred = patches - patches.mean(1, keepdim=True)
    return centred / (centred.square().mean(1, keepdim=True) + MIN_VARIANCE).sqrt()


def sample_patches(pictures: Tensor, size: int, count: int) -> Tensor:
    """Draw random patches of each picture; from torch's global generator.

    Args:
        pictures: [B, 3, H, W].
        size: of a patch, in pixels.
        count: patches a picture.

    Returns:
        [B * count, 3 * size ** 2].
    """
    rows, columns = (
        torch.randint(length - size + 1, (len(pictures), count, 1, 1), device=pictures.device)
        for length in pictures.shape[2:]
    )
    step = torch.arange(size, device=pictures.device)
    index = torch.arange(len(pictures), device=pictures.device)[:, None, None, None]
    patches = pictures[index, :, rows + step[:, None], columns + step]
    return patches.permute(0, 1, 4, 2, 3).flatten(2).flatten(0, 1)
