"""Small trained parts next to frozen weights: low-rank updates, bottlenecks between blocks, learnt positions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class LowRank(nn.Module):
    """``W + up down`` for a frozen weight: LoRA (Hu et al., ICLR 2022), with alpha equal to the rank.

    As a parametrisation it reaches every reader of the weight, attention's fused kernels too, and can be merged. A
    convolution counts as the linear map of its window.

    Args:
        weight: [out, ...].
        rank: upper limit of the rank.
    """

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, width = len(weight), weight[0].numel()
        rank = min(rank, out, width)
        self.down = nn.Parameter(torch.randn(rank, width) / width**0.5)
        self.up = nn.Parameter(torch.zeros(out, rank))

    def forward(self, weight: Tensor) -> Tensor:
        """Add the update to ``weight`` [out, ...]."""
        return weight + (self.up @ self.down).view_as(weight)


def add_low_rank(block: nn.Module, rank: int) -> None:
    """Give every linear map, convolution and joint attention projection inside ``block`` a :class:`LowRank`.

    Args:
        block: module to change in place.
        rank: upper limit of the rank of each update.
    """
    for module in list(block.modules()):
        names = ["weight"] if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) else []
        # attention with keys and values of the queries' width keeps its three projections in one matrix
        names += ["in_proj_weight"] if getattr(module, "in_proj_weight", None) is not None else []
        for name in names:
            parametrize.register_parametrization(module, name, LowRank(getattr(module, name), rank))


def merge_low_rank(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Merge every :class:`LowRank` update of a state dictionary into its weight."""
    part = ".parametrizations."
    out = {name: tensor for name, tensor in tensors.items() if part not in name}
    for name, weight in tensors.items():
        if part in name and name.endswith(".original"):
            stem = name.removesuffix("original")
            update = tensors[f"{stem}0.up"] @ tensors[f"{stem}0.down"]
            out[stem.replace(part, ".").removesuffix(".")] = weight + update.view_as(weight)
    return out


class Bottleneck(nn.Module):
    """``x + up gelu(down x)`` on tokens [B, T, d] or maps [B, d, H, W]; the identity at first (Houlsby, ICML 2019).

    Args:
        dim: d.
        width: of the bottleneck.
    """

    def __init__(self, dim: int, width: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width), nn.Linear(width, dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Adapted tokens or maps, of the shape of ``x``."""
        if x.ndim == 3:
            out: Tensor = x + self.up(nn.functional.gelu(self.down(x)))
            return out
        tokens: Tensor = self(x.flatten(2).transpose(1, 2))
        return tokens.transpose(1, 2).reshape(x.shape)


class Prompt(nn.Module):
    """Learnt positions before the first.

    Tokens of a text (Lester et al., EMNLP 2021), frames of a sound, columns of a picture (Jia et al., ECCV 2022, pad
    all sides).

    Args:
        state_shape: shape of one entity's state, [T, d] or [C, H, W].
        length: number of positions.
    """

    def __init__(self, state_shape: tuple[int, ...], length: int) -> None:
        super().__init__()
        shape = (length, state_shape[1]) if len(state_shape) == 2 else (*state_shape[:2], length)
        self.positions = nn.Parameter(torch.randn(shape) * 0.02)

    @property
    def length(self) -> int:
        """Number of positions."""
        return int(self.positions.shape[0 if self.positions.ndim == 2 else 2])

    def forward(self, values: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Put the positions in front of a state.

        Args:
            values: [B, T, d] or [B, C, H, W].
            mask: bool [B, T], or None for maps.

        Returns:
            The longer state and its mask.
        """
        prefix = self.positions.expand(len(values), *self.positions.shape)
        extended = torch.cat([prefix, values], 1 if values.ndim == 3 else 3)
        if mask is None:
            return extended, None
        return extended, torch.cat([mask.new_ones(len(mask), self.length), mask], 1)
