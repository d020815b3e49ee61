"""Content of all items as a matching model reads it: masked, optionally standardised, replaceable, and either frozen or
made by networks that are trained along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import model_validator
from torch import Tensor, nn

from palate.core.config import AdaptedConfig
from palate.core.content import Features, modality_dropout_mask
from palate.features.adapted import Adapted, Source
from palate.modules.bank import ContentBank


class CopiedConfig(AdaptedConfig):
    """Settings of models whose public code trains the raw vectors.

    Attributes:
        train_content: the loss reads a trained copy of the vectors, which no score reads.
    """

    train_content: bool = False

    @model_validator(mode="after")
    def _one_at_most(self) -> Self:
        if self.train_content and self.trains_content:
            raise ValueError("train_content trains a copy of the vectors, tuning and fusion what makes them: take one")
        return self


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

    With networks that are trained along (:meth:`attach_encoders`), the items of a step (:meth:`attend`) are read with
    gradients; all others as the networks made them when training or evaluation last began, once for all.

    Args:
        dims: feature name -> width. standardise: subtract the mean and divide by the deviation of each column, both
            taken over what was visible in fitting. Without it a common offset dominates cosines and projections.
        dropout: chance that an item lacks one of its modalities in training mode; drawn anew by every :meth:`train`,
            from torch's own generator. An item keeps at least one. What is dropped reads as absent; where modalities
            meet in one vector, it is left out of it, and all items are encoded anew.

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
        self.network: Adapted | None = None
        self._inputs: Mapping[str, Features] = {}
        self._shown: Mapping[str, Features] = {}
        self._given: Mapping[str, Features] = {}
        self._made: Mapping[str, Features] = {}
        self._fresh: dict[str, Tensor] = {}
        self._place = torch.empty(0, dtype=torch.int64)
        self._stale = False
        self._limit = 0
        self.register_load_state_dict_post_hook(_mark_stale)
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

    def attach_encoders(self, source: Source, limit: int = 0) -> None:
        """Read content, from now on, from networks that are trained; what was loaded is what they made untrained.

        Args:
            limit: items of a step that are read with gradients, at most; 0 is all.
        """
        self.network, self._inputs, self._limit = source.network, source.inputs, limit
        self._shown, self._made, self._given = source.inputs, source.vectors, source.vectors

    def attend(self, rows: Tensor) -> None:
        """Encode the items of a step, int64 [b], with gradients."""
        if self.network is None:
            return
        rows = rows.unique()
        if 0 < self._limit < len(rows):
            rows = rows[torch.randperm(len(rows), device=rows.device)[: self._limit]]
        self._fresh = self.network(self._shown, rows)
        n_items = len(next(iter(self._shown.values())))
        self._place = torch.full((n_items,), -1, device=rows.device)
        self._place[rows] = torch.arange(len(rows), device=rows.device)
        self._stale = True

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._fresh, self._kept = {}, {}
        thin = mode and self.dropout > 0 and self.bank is not None
        shown = self._inputs
        if self.network is not None and self.network.meeting is not None:
            if thin:
                kept = self._thinned({name: torch.from_numpy(found.present) for name, found in shown.items()})
                shown = {
                    name: replace(found, present=found.present & kept[name].numpy()) for name, found in shown.items()
                }
        elif thin:
            self._kept = self._thinned({name: self._bank().present(name) for name in self.names})
        if self.network is not None and (self._stale or shown is not self._shown):
            self._shown, self._made, self._stale = shown, self.network.encode(shown), False
            self.load(self._given, len(next(iter(shown.values()))))
        return self

    def freeze(self) -> None:
        """Forget trained copies and networks; from now on vectors are read as they are."""
        self.trained = nn.ParameterList()
        self.network, self._inputs, self._shown = None, {}, {}
        self._given, self._made, self._fresh = {}, {}, {}

    def load(self, features: Mapping[str, Features], n_items: int) -> bool:
        """Replace the content of all items; a known modality that is not given is absent. False: nothing changed.

        The last two contents are kept with their ``memo``: validation on hidden items swaps between them every epoch.
        """
        if self.network is not None:
            self._given = features
            made = {n: f for n, f in self._made.items() if n in features}
            features = {n: replace(f, present=f.present & features[n].present) for n, f in made.items()}
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

    def others(self, features: Mapping[str, Features], rows: NDArray[np.int64]) -> dict[str, tuple[Tensor, Tensor]]:
        """Name -> vectors and mask as of :meth:`rows`, of ``rows`` of a content that is not loaded; O(rows)."""
        some = {name: features[name].take(rows) for name in self.names if name in features}
        aside = ContentBank({n: _sized(some.get(n), width, len(rows)) for n, width in self.dims.items()})
        out = {}
        for name in self.names:
            values, present = aside.rows(name)
            if self.standardise:
                mean, scale = (statistic.cpu() for statistic in self._statistics(name))
                values = (values - mean) * scale * present[:, None]
            out[name] = values, present
        return out

    def whole(self, name: str, kept: Tensor) -> Tensor:
        """Vectors of all items: ``kept``, what :meth:`rows` gave when the model was set up, unless they are trained."""
        return kept if self.network is None or not self.network.makes(name) else self.rows(name)[0]

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
        if name in self._fresh:
            at = self._place if rows is None else self._place.index_select(0, rows)
            here = (at >= 0).nonzero().squeeze(1)
            values = values.index_copy(0, here, self._fresh[name][at[here]])
        if self._kept:
            present = present & (self._kept[name] if rows is None else self._kept[name].index_select(0, rows))
        return values, present

    def _thinned(self, here: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Which items keep the modality of each feature, bool [n_items], given which have the feature."""
        groups: dict[str, list[str]] = {}
        for name in here:
            groups.setdefault(name.partition(".")[0], []).append(name)
        present = torch.stack([torch.stack([here[name] for name in group]).any(0) for group in groups.values()])
        draws = torch.rand(present.shape).numpy()
        kept = torch.from_numpy(modality_dropout_mask(draws, present.cpu().numpy(), self.dropout)).to(present.device)
        return {name: rows for group, rows in zip(groups.values(), kept) for name in group}

    def _statistics(self, name: str) -> tuple[Tensor, Tensor]:
        place = self.names.index(name)
        return self.get_buffer(f"mean_{place}"), self.get_buffer(f"scale_{place}")

    def _bank(self) -> ContentBank:
        if self.bank is None:
            raise RuntimeError("content was read before it was loaded")
        return self.bank


def _mark_stale(content: nn.Module, _: Any) -> None:
    # a resumed run, or the best epoch's weights: what was made of the content is another's
    if isinstance(content, ItemContent):
        content._stale = True


def _sized(found: Features | None, width: int, n_items: int) -> Features:
    if found is not None and len(found) == n_items:
        return found
    values, present = np.zeros((n_items, width), np.float32), np.zeros(n_items, bool)
    if found is not None:
        values[: len(found)], present[: len(found)] = found.values, found.present
    return Features(values, present)
