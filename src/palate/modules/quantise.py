"""Vector quantisation: one level of a vector or of a residual quantiser."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VectorQuantiser(nn.Module):
    """A codebook (VQ-VAE, van den Oord et al., NIPS 2017), trained by gradients alone.

    With q the code nearest to z, the loss is a mean over numbers of
    ``(q - sg z)^2 + commit (z - sg q)^2 + dead_code_weight (q_k - sg z_k)^2``, the last over all codes k, z_k the
    batch's vector nearest to k: unused codes return to where vectors are. Nothing is counted or replaced, so processes
    that average gradients have the same codebook. A residual quantiser is several of these: each level takes the
    residual of the levels above, the losses add up, and :func:`straight_through` goes over the sum of the levels'
    codes.

    Args:
        codes: their number.
        dim: width.
        commit: weight of the commitment term.
        dead_code_weight: weight of the term that attracts unused codes.
        lr_scale: the parameter holds codes divided by it, so that an optimiser whose steps are of one size (Adam) moves
            them that much faster than the network that makes the vectors.
    """

    def __init__(
        self, codes: int, dim: int, commit: float = 0.25, dead_code_weight: float = 0.1, lr_scale: float = 1.0
    ) -> None:
        super().__init__()
        self.commit, self.dead_code_weight, self.lr_scale = commit, dead_code_weight, lr_scale
        self.kept = nn.Parameter(torch.empty(codes, dim).uniform_(-1 / codes, 1 / codes) / lr_scale)

    @property
    def codes(self) -> Tensor:
        """float32 [codes, dim]."""
        return self.kept * self.lr_scale

    def initialize(self, vectors: Tensor, generator: torch.Generator) -> None:
        """Set the codes to vectors drawn from ``vectors`` [n, d]."""
        picked = torch.randint(len(vectors), (len(self.kept),), generator=generator)
        with torch.no_grad():
            self.kept.copy_(vectors[picked] / self.lr_scale)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Ids int64 [...] of the codes nearest to ``vectors`` [..., d]; of equals, the first."""
        return self._distances(vectors.detach().flatten(0, -2)).argmin(1).view(vectors.shape[:-1])

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Quantise ``vectors`` [..., d].

        Returns:
            Codes [..., d] with their gradient, ids int64 [...], and the loss.
        """
        flat = vectors.flatten(0, -2)
        distances = self._distances(flat.detach())
        ids = distances.argmin(1)
        codes = self.codes
        chosen = codes[ids]
        loss = (chosen - flat.detach()).square().mean() + self.commit * (flat - chosen.detach()).square().mean()
        if self.dead_code_weight:
            loss = loss + self.dead_code_weight * (codes - flat.detach()[distances.argmin(0)]).square().mean()
        return chosen.view(vectors.shape), ids.view(vectors.shape[:-1]), loss

    def _distances(self, flat: Tensor) -> Tensor:
        codes = self.codes.detach()
        return flat.square().sum(1, keepdim=True) - 2 * flat @ codes.T + codes.square().sum(1)


def straight_through(vectors: Tensor, quantised: Tensor) -> Tensor:
    """The value of ``quantised`` with the gradient passed to ``vectors``, as if nothing had been rounded."""
    return vectors + (quantised - vectors).detach()
