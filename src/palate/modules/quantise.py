"""Vectors as the nearest of a learnt set of codes: one level of a vector or of a residual quantiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VectorQuantiser(nn.Module):
    """A code book (VQ-VAE, van den Oord et al., NIPS 2017), trained by gradients alone.

    With q the code nearest to z, the loss is a mean over numbers of
    ``(q - sg z)^2 + commit (z - sg q)^2 + revive (q_k - sg z_k)^2``, the last over all codes k, z_k the batch's vector
    nearest to k: codes that nothing chooses come back to where vectors are. Nothing is counted or replaced, so
    processes that average gradients keep the same book. A residual quantiser is several of these: each level takes what
    the ones above left, the losses add up, and :func:`straight_through` goes over the sum of the levels' codes.

    Args:
        codes: their number. dim: width. commit, revive: weights.
        pace: the parameter holds codes divided by it, so that an optimiser whose steps are of one size (Adam) moves
            them that much faster than what makes the vectors.
    """

    def __init__(self, codes: int, dim: int, commit: float = 0.25, revive: float = 0.1, pace: float = 1.0) -> None:
        super().__init__()
        self.commit, self.revive, self.pace = commit, revive, pace
        self.kept = nn.Parameter(torch.empty(codes, dim).uniform_(-1 / codes, 1 / codes) / pace)

    @property
    def codes(self) -> Tensor:
        """float32 [codes, dim]."""
        return self.kept * self.pace

    def start(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Begin at codes drawn from ``vectors`` [n, d]."""
        picked = torch.randint(len(vectors), (len(self.kept),), generator=generator)
        with torch.no_grad():
            self.kept.copy_(vectors[picked] / self.pace)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Ids int64 [...] of the codes nearest to ``vectors`` [..., d]; of equals, the first."""
        return self._distances(vectors.detach().flatten(0, -2)).argmin(1).view(vectors.shape[:-1])

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Codes [..., d] with their gradient, ids int64 [...], and the loss, of ``vectors`` [..., d]."""
        flat = vectors.flatten(0, -2)
        distances = self._distances(flat.detach())
        ids = distances.argmin(1)
        codes = self.codes
        found = codes[ids]
        loss = (found - flat.detach()).square().mean() + self.commit * (flat - found.detach()).square().mean()
        if self.revive:
            loss = loss + self.revive * (codes - flat.detach()[distances.argmin(0)]).square().mean()
        return found.view(vectors.shape), ids.view(vectors.shape[:-1]), loss

    def _distances(self, flat: Tensor) -> Tensor:
        codes = self.codes.detach()
        return flat.square().sum(1, keepdim=True) - 2 * flat @ codes.T + codes.square().sum(1)


def straight_through(vectors: Tensor, quantised: Tensor) -> Tensor:
    """The value of ``quantised``, the gradient to ``vectors``, as if nothing had been rounded."""
    return vectors + (quantised - vectors).detach()
