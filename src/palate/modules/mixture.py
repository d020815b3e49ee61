"""Mixtures of experts in place of a Transformer's feed-forward network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.modules.interactions import multilayer


class MixtureOfExperts(nn.Module):
    """sum_k softmax(W x)_k FFN_k(x): every expert is heard, by a gate of the token's own.

    Args:
        dim: width of tokens.
        experts: number of feed-forward networks with ``4 dim`` hidden units; a single one has no gate.
    """

    def __init__(self, dim: int, experts: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(multilayer(dim, (4 * dim,), out=dim, activation=nn.GELU) for _ in range(experts))
        self.gate = nn.Linear(dim, experts, bias=False) if experts > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """Mixed outputs float32 [..., dim].

        Args:
            x: float32 [..., dim].
        """
        if self.gate is None:
            single: Tensor = self.experts[0](x)
            return single
        outputs = torch.stack([expert(x) for expert in self.experts], -1)
        weights: Tensor = self.gate(x).softmax(-1)[..., None, :]
        return (outputs * weights).sum(-1)


class ModalityExperts(nn.Module):
    """Experts of each modality, to which its tokens are sent; or experts that all modalities share.

    Args:
        dim: width of tokens.
        experts: in each mixture.
        modalities: number of modalities; 1 lets all share.
    """

    def __init__(self, dim: int, experts: int, modalities: int) -> None:
        super().__init__()
        self.mixtures = nn.ModuleList(MixtureOfExperts(dim, experts) for _ in range(modalities))

    def forward(self, x: Tensor) -> Tensor:
        """Outputs float32 [n, modalities, L, dim].

        Args:
            x: float32 [n, modalities, L, dim].
        """
        if len(self.mixtures) == 1:
            shared: Tensor = self.mixtures[0](x)
            return shared
        return torch.stack([mixture(x[:, place]) for place, mixture in enumerate(self.mixtures)], 1)
