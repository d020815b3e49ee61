"""Features of regions as prediction targets: standardised, and grouped to words."""

from __future__ import annotations

import warnings

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

SHARPNESS = 10.0
"""Factor of the cosines in the distribution over classes."""
WIDTH = 64
"""Columns of targets at most; of wider features the first principal components are taken."""
CONSTANT = 1e-4
"""Smallest deviation that a column is divided by."""
SAMPLE = 8192
"""Regions at most that words are learnt from."""


class RegionLabeller(nn.Module):
    """Standardised features of regions, and their classes: the words of k-means, by the softmax of ten times cosines.

    All of it is fitted once to features that do not change, so models that predict the labels cannot make them
    collapse.

    Args:
        described: features float32 [n, R, f] of some entities' regions.
        words: classes at most; there are no more than distinct regions, and 0 fits none.
        seed: of k-means.

    Attributes:
        kinds: float32 [classes, width], words of length 1.
    """

    centre: Tensor
    axes: Tensor
    spread: Tensor
    kinds: Tensor

    def __init__(self, described: Tensor, words: int, seed: int) -> None:
        super().__init__()
        cells = described.detach().flatten(0, 1).double()
        centre = cells.mean(0)
        axes = torch.eye(cells.shape[1], dtype=cells.dtype)
        if cells.shape[1] > WIDTH:
            axes = torch.linalg.eigh((cells - centre).T @ (cells - centre))[1].flip(1)[:, :WIDTH]
        spread = ((cells - centre) @ axes).std(0, correction=0).clamp(min=CONSTANT)
        for name, value in (("centre", centre), ("axes", axes), ("spread", spread)):
            self.register_buffer(name, value.float())
        kinds = _words(F.normalize(self(described).flatten(0, 1), dim=1), words, seed) if words else self.axes[:0]
        self.register_buffer("kinds", kinds)

    @property
    def width(self) -> int:
        """Width of the standardised features."""
        return len(self.spread)

    @torch.no_grad()
    def forward(self, described: Tensor) -> Tensor:
        """Standardised features float32 [B, R, width] of features [B, R, f], without gradient."""
        features: Tensor = (described - self.centre) @ self.axes / self.spread
        return features

    def classes(self, features: Tensor) -> Tensor:
        """Probabilities [..., classes] of standardised features [..., width]."""
        return (F.normalize(features, dim=-1) @ self.kinds.T * SHARPNESS).softmax(-1)


def _words(cells: Tensor, words: int, seed: int) -> Tensor:
    """Centres of k-means, of length 1; every one has members."""
    from scipy.cluster.vq import kmeans2

    points = np.unique(cells.double().numpy().round(6), axis=0)
    if len(points) > SAMPLE:
        points = np.random.default_rng(seed).choice(points, SAMPLE, replace=False)
    with warnings.catch_warnings():
        # a word that lost its members is left out below
        warnings.simplefilter("ignore", UserWarning)
        centres, member = kmeans2(points, min(words, len(points)), minit="++", iter=20, rng=seed)
    return F.normalize(torch.from_numpy(centres[np.unique(member)]).float(), dim=1)
