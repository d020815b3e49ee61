"""Attention over the channels and places of feature maps, with or without a prior of each category.

The prior A^k of category k joins what is squeezed out of a map F [C, H, W] (CSCNN: Liu et al., KDD 2020):

    channels: M_c = sigmoid(sum over p of W1 relu(W0 [p(F) ; A_c^k])),        F' = M_c * F, p: mean, max over places
    places:   M_s = sigmoid(conv7x7([mean_c F' ; max_c F' ; A_s^k])),         F'' = M_s * F'

Without priors this is CBAM (Woo et al., ECCV 2018); channels alone with p = mean are SE (Hu et al., CVPR 2018).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

AttentionKind = Literal["none", "se", "cbam_channel", "cbam", "category", "se_category"]
"""``category`` is CBAM with priors; ``se_category`` is SE with the prior of channels, as HCCM has it."""
PRIORS: tuple[AttentionKind, ...] = ("category", "se_category")
PLACES: tuple[AttentionKind, ...] = ("cbam", "category")
PRIOR_SIDE = 6
"""Height and width of A_s, which is resized to each map."""


class ChannelAttention(nn.Module):
    """A weight for each channel.

    Args:
        channels: of a map.
        reduction: the hidden layer has ``channels / reduction`` units, 4 at least.
        maximum: squeeze by the maximum over places as well as by the mean.
        categories: number of categories; 0 has no prior.
        prior: width of A_c.
    """

    def __init__(
        self, channels: int, reduction: int = 16, maximum: bool = True, categories: int = 0, prior: int = 20
    ) -> None:
        super().__init__()
        self.maximum = maximum
        self.prior = nn.Parameter(torch.randn(categories, prior) * 0.1) if categories else None
        hidden = max(channels // reduction, 4)
        self.squeeze = nn.Linear(channels + (prior if categories else 0), hidden, bias=False)
        self.excite = nn.Linear(hidden, channels, bias=False)

    def weights(self, maps: Tensor, category: Tensor) -> Tensor:
        """M_c, float32 [n, C].

        Args:
            maps: float32 [n, C, H, W].
            category: float32 [n, categories], one-hot; zero where it is unknown.
        """
        pooled = [maps.mean((2, 3)), *([maps.amax((2, 3))] if self.maximum else [])]
        if self.prior is not None:
            own = category @ self.prior
            pooled = [torch.cat([one, own], 1) for one in pooled]
        return torch.stack([self.excite(self.squeeze(one).relu()) for one in pooled]).sum(0).sigmoid()

    def forward(self, maps: Tensor, category: Tensor) -> Tensor:
        """F', float32 [n, C, H, W]; arguments as of :meth:`weights`."""
        return maps * self.weights(maps, category)[:, :, None, None]


class PlaceAttention(nn.Module):
    """A weight for each place of a map.

    Args:
        categories: number of categories; 0 has no prior.
        kernel: side of the convolution.
    """

    def __init__(self, categories: int = 0, kernel: int = 7) -> None:
        super().__init__()
        self.prior = nn.Parameter(torch.randn(categories, PRIOR_SIDE**2) * 0.1) if categories else None
        self.conv = nn.Conv2d(3 if categories else 2, 1, kernel, padding=kernel // 2, bias=False)

    def weights(self, maps: Tensor, category: Tensor) -> Tensor:
        """M_s, float32 [n, H, W].

        Args:
            maps: float32 [n, C, H, W].
            category: float32 [n, categories], one-hot; zero where it is unknown.
        """
        planes = [maps.mean(1, keepdim=True), maps.amax(1, keepdim=True)]
        if self.prior is not None:
            own = (category @ self.prior).view(-1, 1, PRIOR_SIDE, PRIOR_SIDE)
            planes.append(F.interpolate(own, maps.shape[2:], mode="bilinear", align_corners=False))
        weights: Tensor = self.conv(torch.cat(planes, 1))[:, 0].sigmoid()
        return weights

    def forward(self, maps: Tensor, category: Tensor) -> Tensor:
        """F'', float32 [n, C, H, W]; arguments as of :meth:`weights`."""
        return maps * self.weights(maps, category)[:, None]


class MapAttention(nn.Module):
    """Attention of one of the kinds after a block of convolutions.

    Args:
        kind: which.
        channels: of a map.
        categories: number of categories, for kinds with priors.
        reduction: see :class:`ChannelAttention`.
    """

    def __init__(self, kind: AttentionKind, channels: int, categories: int, reduction: int = 16) -> None:
        super().__init__()
        known = categories if kind in PRIORS else 0
        maximum = kind not in ("se", "se_category")
        self.channels = None if kind == "none" else ChannelAttention(channels, reduction, maximum, known)
        self.places = PlaceAttention(known) if kind in PLACES else None

    def forward(self, maps: Tensor, category: Tensor) -> Tensor:
        """Weighted maps, float32 [n, C, H, W].

        Args:
            maps: float32 [n, C, H, W].
            category: float32 [n, categories], one-hot.
        """
        if self.channels is not None:
            maps = self.channels(maps, category)
        return maps if self.places is None else self.places(maps, category)
