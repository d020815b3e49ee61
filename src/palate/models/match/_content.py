"""Content of all items as a matching model reads it: frozen, masked, optionally standardised, replaceable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.content import Features, left_over
from palate.modules.bank import ContentBank


@dataclass(eq=False)
class _Loaded:
    source: tuple[Features | None, ...]
    n_items: int
    bank: ContentBank | None
    memo: dict[str, Any] = field(default_factory=dict)

    def made_from(self, source: tuple[Features | None, ...], n_items: int) -> bool:
        return n_items == self.n_items and all(one is two for one, two in zip(self.source, source))


class ItemContent(nn.Module):
    """A :class:`ContentBank` that can be swapped when items arrive, with column statistics that stay.

    Mean and standard deviation are persistent buffers: a restored model reads new items as it read the old ones.

    Args:
        dims: feature name -> width. standardise: subtract the mean and divide by the deviation of each column, both
            taken over what was visible in fitting. Without it a common offset dominates cosines and projections.
        dropout: chance that an item lacks one of its modalities in training mode; drawn anew by every :meth:`train`,
            from torch's own generator. An item keeps at least one. What is dropped reads as absent.

    Attributes:
        memo: what a model derives from the loaded content and wants to find again when it is loaded again.
    """

    def __init__(self, dims: Mapping[str, int], standardise: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout
        self._kept: dict[str, Tensor] = {}
        self.dims = dict(dims)
        self.bank: ContentBank | None = None
        self.memo: dict[str, Any] = {}
        self._recent: list[_Loaded] = []
        self.standardise = standardise
        self.trained = nn.ParameterList()
        for place, width in enumerate(self.dims.values()) if standardise else ():
            self.register_buffer(f"mean_{place}", torch.zeros(width))
            self.register_buffer(f"scale_{place}", torch.ones(width))

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the order of ``dims``."""
        return tuple(self.dims)

    def fit(self, features: Mapping[str, Features], n_items: int, train: bool = False) -> None:
        """Take statistics over present rows, then :meth:`load`.

        Args:
            train: keep a copy of all vectors as parameters that :meth:`projected` reads (the public FREEDOM and BM3).
                They cost as much memory as Adam needs for the raw matrices: for features of a few hundred columns.
        """
        for name in self.names if self.standardise else ():
            seen = features[name].values[features[name].present].astype(np.float32)
            if len(seen):
                mean, scale = self._statistics(name)
                deviation = seen.std(0)
                # a constant column carries nothing: after centring it is zero whatever it is divided by
                mean.copy_(torch.from_numpy(seen.mean(0)))
                scale.copy_(torch.from_numpy(1 / np.where(deviation > 1e-6, deviation, 1)))
        self.load(features, n_items)
        if train:
            self.trained = nn.ParameterList(nn.Parameter(self.rows(name)[0].clone()) for name in self.names)

    def freeze(self) -> None:
        """Forget trained copies; from now on vectors are read as they came."""
        self.trained = nn.ParameterList()

    def load(self, features: Mapping[str, Features], n_items: int) -> bool:
        """Replace the content of all items; a known modality that is not given is absent. False: nothing changed.

        The last two contents are kept with their ``memo``: validation on hidden items swaps between them every epoch.
        """
        source = tuple(features.get(name) for name in self.names)
        wanted = next((one for one in self._recent if one.made_from(source, n_items)), None)
        if wanted is not None and wanted is self._recent[0]:
            return False
        if wanted is None:
            device = next((buffer.device for buffer in self.buffers()), torch.device("cpu"))
            sized = {name: _sized(found, self.dims[name], n_items) for name, found in zip(self.names, source)}
            wanted = _Loaded(source, n_items, ContentBank(sized).to(device) if sized else None)
        self._recent = [wanted, *self._recent[:1]]
        self.bank, self.memo = wanted.bank, wanted.memo
        return True

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._kept = self._thinned() if mode and self.dropout and self.bank is not None else {}
        return self

    def present(self, name: str) -> Tensor:
        """bool [n_items]."""
        here = self._bank().present(name)
        return here & self._kept[name] if self._kept else here

    def any_present(self, n_items: int) -> Tensor:
        """bool [n_items]: items with at least one modality."""
        masks = [self.present(name).cpu() for name in self.names] if self.bank is not None else []
        return torch.stack(masks).any(0) if masks else torch.zeros(n_items, dtype=torch.bool)

    def rows(self, name: str, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors float32 [b, d] (zero where absent) and mask bool [b]."""
        values, present = self._read(name, rows)
        if self.standardise:
            mean, scale = self._statistics(name)
            values = (values - mean) * scale
        if self.standardise or self._kept:
            values = values * present[:, None]
        return values, present

    def projected(self, maps: nn.ModuleList, rows: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """(name, vectors, mask) of each modality through its own ``nn.Linear``; see :meth:`linear`."""
        for place, (name, layer) in enumerate(zip(self.names, maps)):
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            if len(self.trained):
                x = F.embedding(rows, self.trained[place])
                yield name, F.linear(x, weight, bias), self.present(name).index_select(0, rows)
            else:
                yield name, *self.linear(name, rows, weight, bias)

    def linear(self, name: str, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``weight x + bias`` [b, out] of rows int64 [b], and mask bool [b]; what absent rows hold means nothing.

        Standardising is folded into the map, which is smaller than the vectors.
        """
        values, present = self._read(name, rows)
        if self.standardise:
            mean, scale = self._statistics(name)
            weight = weight * scale
            shift = -(weight @ mean)
            bias = shift if bias is None else bias + shift
        return F.linear(values, weight, bias), present

    def _read(self, name: str, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        values, present = self._bank().rows(name, rows)
        if self._kept:
            present = present & (self._kept[name] if rows is None else self._kept[name].index_select(0, rows))
        return values, present

    def _thinned(self) -> dict[str, Tensor]:
        """For every feature bool [n_items]: whether its modality is kept."""
        groups: dict[str, list[str]] = {}
        for name in self.names:
            groups.setdefault(name.partition(".")[0], []).append(name)
        here = [torch.stack([self._bank().present(name) for name in group]).any(0) for group in groups.values()]
        draws = torch.rand(len(here), len(here[0]))
        kept = torch.from_numpy(left_over(draws.numpy(), torch.stack(here).cpu().numpy(), self.dropout))
        return {name: rows.to(here[0].device) for group, rows in zip(groups.values(), kept) for name in group}

    def _statistics(self, name: str) -> tuple[Tensor, Tensor]:
        place = self.names.index(name)
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"scale_{place}")

    def _bank(self) -> ContentBank:
        if self.bank is None:
            raise RuntimeError("content was read before it was loaded")
        return self.bank


def _sized(found: Features | None, width: int, n_items: int) -> Features:
    if found is not None and len(found) == n_items:
        return found
    values, present = np.zeros((n_items, width), np.float32), np.zeros(n_items, bool)
    if found is not None:
        values[: len(found)], present[: len(found)] = found.values, found.present
    return Features(values, present)
