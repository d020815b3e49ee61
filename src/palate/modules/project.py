"""Learned projection of frozen content: only the rows of a batch are ever projected."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from ..core.errors import ConfigError
from .bank import ContentBank

__all__ = ["ContentBank", "ContentProjector", "Projector"]


class Projector(nn.Module):
    """Linear map or MLP from a frozen feature to the model's space.

    Args:
        dim_in: width of the feature.
        dim_out: width of the result.
        hidden: widths of hidden layers; none is a linear map.
        norm: LayerNorm on the input (AlignRec).
        dropout: on the output of every hidden layer.
        activation: between layers.
        absent: what stands for an item without this modality: ``zero``, or a ``learned`` vector. The mask is the
            caller's to carry on either way.
    """

    def __init__(
        self,
        dim_in: int,
        dim_out: int,
        hidden: Sequence[int] = (),
        *,
        norm: bool = False,
        dropout: float = 0.0,
        activation: type[nn.Module] = nn.LeakyReLU,
        absent: Literal["zero", "learned"] = "zero",
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.LayerNorm(dim_in)] if norm else []
        width = dim_in
        for size in hidden:
            layers += [nn.Linear(width, size), activation(), nn.Dropout(dropout)]
            width = size
        last = nn.Linear(width, dim_out)
        for layer in [*layers, last]:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)
        self.layers = nn.Sequential(*layers, last)
        self.absent = nn.Parameter(torch.randn(dim_out) * 0.01) if absent == "learned" else None

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """``x`` [b, dim_in] and ``present`` bool [b] -> [b, dim_out]; what ``x`` holds in absent rows has no effect."""
        # masking before the layers keeps a NaN in an absent row out of the gradients, masking after drops the bias
        safe = torch.where(present[:, None], x, x.new_zeros(()))
        z: Tensor = self.layers(safe)
        return torch.where(present[:, None], z, z.new_zeros(()) if self.absent is None else self.absent)


class ContentProjector(nn.Module):
    """One :class:`Projector` for each modality of a bank; reads, and projects, only the rows asked for.

    Args:
        dims: name -> width of the feature, usually ``{name: bank.dim(name) for name in bank.names}``.
        dim: width of the results.
        hidden: see :class:`Projector`.
        norm: see :class:`Projector`.
        dropout: see :class:`Projector`.
        absent: see :class:`Projector`.
    """

    def __init__(
        self,
        dims: Mapping[str, int],
        dim: int,
        hidden: Sequence[int] = (),
        *,
        norm: bool = False,
        dropout: float = 0.0,
        absent: Literal["zero", "learned"] = "zero",
    ) -> None:
        super().__init__()
        if not dims:
            raise ConfigError("a content projector needs at least one modality", key="modalities")
        self.names = tuple(dims)
        self.maps = nn.ModuleList(
            Projector(width, dim, hidden, norm=norm, dropout=dropout, absent=absent) for width in dims.values()
        )

    def forward(self, bank: ContentBank, rows: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """name -> (vectors [b, dim], mask bool [b]) of ``rows`` int64 [b], or of all items."""
        found = {}
        for name, layer in zip(self.names, self.maps):
            x, present = bank.rows(name, rows)
            found[name] = (layer(x, present), present)
        return found

    def chunks(self, bank: ContentBank, size: int = 8192) -> Iterator[dict[str, tuple[Tensor, Tensor]]]:
        """All items in order, ``size`` rows at a time: bounded memory when a scorer is prepared."""
        device = next(self.parameters()).device
        for start in range(0, len(bank), size):
            yield self(bank, torch.arange(start, min(start + size, len(bank)), device=device))
