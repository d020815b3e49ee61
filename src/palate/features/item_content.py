"""Content of all items as a matching model reads it: masked, optionally standardised, replaceable, trainable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.features.network_vectors import NetworkVectors
from palate.features.trainable import TrainableContent, TrainableEncoders
from palate.modules.bank import ContentBank
from palate.modules.modality_dropout import draw_modality_mask
from palate.modules.standardise import Standardiser


@dataclass(frozen=True, eq=False)
class _Loaded:
    """Content that was loaded, and the bank made of it."""

    source: tuple[Features | None, ...]
    n_items: int
    bank: ContentBank | None

    def holds(self, source: tuple[Features | None, ...], n_items: int) -> bool:
        return n_items == self.n_items and all(one is two for one, two in zip(self.source, source))


class ItemContent(nn.Module):
    """A :class:`ContentBank` that can be replaced when items arrive, with column statistics that stay.

    With networks that are trained along (:meth:`attach_encoders`), the items of a batch (:meth:`encode_batch`) are read
    with gradients; all others as they were encoded when the model last switched between training and evaluation.

    Args:
        dims: feature name -> width.
        standardise: subtract the mean and divide by the deviation of each column, both taken over what was visible in
            fitting.
        dropout: probability that an item lacks one of its modalities in training mode; drawn again by every
            :meth:`train`, from torch's own generator. An item keeps at least one. What is dropped reads as absent;
            where modalities are fused, the fused vector leaves it out, and all items are encoded again.

    Attributes:
        bank: vectors of all items, None before they are loaded.
        trained: a trainable copy of all vectors, by feature, see :meth:`fit`.
        network: networks that make the vectors, None where the vectors are read as they are.
    """

    def __init__(self, dims: Mapping[str, int], standardise: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.dims, self.dropout = dict(dims), dropout
        self.standardiser = Standardiser(dims) if standardise else None
        self.bank: ContentBank | None = None
        self.trained = nn.ParameterList()
        self.network: TrainableEncoders | None = None
        self._networks: NetworkVectors | None = None
        self._given = ItemFeatures({})
        self._recent: tuple[_Loaded, ...] = ()
        self._kept: dict[str, Tensor] = {}
        self.register_load_state_dict_post_hook(_mark_stale)

    @property
    def names(self) -> tuple[str, ...]:
        """Feature names, in the order of ``dims``."""
        return tuple(self.dims)

    @property
    def older_names(self) -> dict[str, str]:
        """Names of buffers in runs of earlier versions -> names of today."""
        return {
            f"{kind}_{place}": f"standardiser.{kind}_{place}"
            for kind in ("mean", "scale")
            for place in range(len(self.dims) if self.standardiser is not None else 0)
        }

    def fit(self, features: ItemFeatures, trainable_copy: bool = False) -> None:
        """Take statistics over present rows, then :meth:`load`.

        Args:
            features: of all items; rows that may not be seen are absent.
            trainable_copy: keep a copy of all vectors as parameters, which :meth:`projected` reads. It costs as much
                memory as Adam needs for the raw matrices: for features of a few hundred columns.
        """
        if self.standardiser is not None:
            self.standardiser.fit(features)
        self.load(features)
        if trainable_copy:
            self.trained = nn.ParameterList(nn.Parameter(self.rows(name)[0].clone()) for name in self.names)

    def attach_encoders(self, source: TrainableContent, limit: int = 0) -> None:
        """Read content, from now on, from networks that are trained; what is loaded is what they made untrained.

        Args:
            source: the networks and their inputs.
            limit: items of a batch that are read with gradients, at most; 0 is all.
        """
        self.network, self._networks = source.network, NetworkVectors(source, limit)
        self._given = ItemFeatures.of(source.vectors)

    def encode_batch(self, rows: Tensor) -> None:
        """Encode the items of a batch with gradients, where networks are trained.

        Args:
            rows: int64 [b].
        """
        if self._networks is not None:
            self._networks.encode_batch(rows)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self._kept = {}
        networks, drops = self._networks, mode and self.dropout > 0 and self.bank is not None
        if networks is None:
            if drops:
                self._kept = self._draw_mask()
            return self
        networks.drop_batch()
        inputs = networks.inputs
        if networks.network.modality_fusion is None:
            self._kept = self._draw_mask() if drops else {}
        elif drops:
            present = {name: torch.from_numpy(found.present) for name, found in inputs.items()}
            kept = draw_modality_mask(present, self.dropout)
            inputs = {n: replace(found, present=found.present & kept[n].numpy()) for n, found in inputs.items()}
        if networks.refresh(inputs):
            self.load(self._given)
        return self

    def freeze(self) -> None:
        """Drop trainable copies and networks; from now on vectors are read as they are."""
        self.trained = nn.ParameterList()
        self.network, self._networks = None, None
        self._given = ItemFeatures({})

    def load(self, features: ItemFeatures) -> bool:
        """Replace the content of all items; a known feature that is not given is absent.

        The last two contents are kept: validation on hidden items swaps between them every epoch.

        Args:
            features: of all items.

        Returns:
            Whether anything changed.
        """
        n_items, given = features.n_items, dict(features)
        if self._networks is not None:
            self._given = features
            encoded = {n: vectors for n, vectors in self._networks.vectors.items() if n in features}
            given = {n: replace(f, present=f.present & features[n].present) for n, f in encoded.items()}
        source = tuple(given.get(name) for name in self.names)
        loaded = next((one for one in self._recent if one.holds(source, n_items)), None)
        if loaded is not None and loaded is self._recent[0]:
            return False
        if loaded is None:
            device = next((buffer.device for buffer in self.buffers()), torch.device("cpu"))
            filled = {n: _absent(self.dims[n], n_items) if f is None else f for n, f in zip(self.names, source)}
            loaded = _Loaded(source, n_items, ContentBank(filled).to(device) if filled else None)
        self._recent = (loaded, *self._recent[:1])
        self.bank = loaded.bank
        return True

    def present(self, name: str) -> Tensor:
        """Which items have a feature, bool [n_items].

        Args:
            name: of the feature.
        """
        present = self._bank().present(name)
        return present & self._kept[name] if self._kept else present

    def any_present(self, n_items: int) -> Tensor:
        """Which items have at least one feature, bool [n_items].

        Args:
            n_items: number of items, for a model without features.
        """
        masks = [self.present(name).cpu() for name in self.names] if self.bank is not None else []
        return torch.stack(masks).any(0) if masks else torch.zeros(n_items, dtype=torch.bool)

    def rows(self, name: str, rows: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Vectors float32 [b, d] (zero where absent) and mask bool [b].

        Args:
            name: of the feature.
            rows: int64 [b], the items; None for all of them.
        """
        values, present = self._read(name, rows)
        if self.standardiser is not None:
            values = self.standardiser(name, values)
        if self.standardiser is not None or self._kept:
            values = values * present[:, None]
        return values, present

    def rows_of(self, features: Mapping[str, Features], rows: NDArray[np.int64]) -> dict[str, tuple[Tensor, Tensor]]:
        """Vectors and masks as of :meth:`rows`, read from features that are not loaded; O(rows).

        Args:
            features: feature name -> vectors of all items.
            rows: int64 [b], the items.

        Returns:
            Feature name -> vectors [b, d] and mask [b], on the CPU.
        """
        part = {name: features[name].take(rows) for name in self.names if name in features}
        bank = ContentBank({n: part[n] if n in part else _absent(width, len(rows)) for n, width in self.dims.items()})
        out = {}
        for name in self.names:
            values, present = bank.rows(name)
            if self.standardiser is not None:
                values = self.standardiser(name, values) * present[:, None]
            out[name] = values, present
        return out

    def all_rows(self, name: str, cache: Tensor) -> Tensor:
        """Vectors of all items.

        Args:
            name: of the feature.
            cache: what :meth:`rows` gave when the model was set up; returned unless the vectors are being trained.
        """
        return cache if self.network is None or not self.network.makes(name) else self.rows(name)[0]

    def projected(self, maps: nn.ModuleList, rows: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Each feature through its own linear map; see :meth:`linear`.

        Args:
            maps: an ``nn.Linear`` for each feature, in the order of ``names``.
            rows: int64 [b], the items.

        Yields:
            Feature name, vectors [b, out] and mask bool [b].
        """
        for place, (name, layer) in enumerate(zip(self.names, maps)):
            weight, bias = layer.get_parameter("weight"), layer.get_parameter("bias")
            if len(self.trained):
                x = F.embedding(rows, self.trained[place])
                yield name, F.linear(x, weight, bias), self.present(name).index_select(0, rows)
            else:
                yield name, *self.linear(name, rows, weight, bias)

    def linear(self, name: str, rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``weight x + bias`` [b, out] and mask bool [b]; results of absent rows have no meaning.

        Standardising is folded into the map, which is smaller than the vectors.

        Args:
            name: of the feature.
            rows: int64 [b], the items.
            weight: float32 [out, d].
            bias: float32 [out], or None.
        """
        values, present = self._read(name, rows)
        if self.standardiser is not None:
            weight, bias = self.standardiser.fold(name, weight, bias)
        return F.linear(values, weight, bias), present

    def _read(self, name: str, rows: Tensor | None) -> tuple[Tensor, Tensor]:
        values, present = self._bank().rows(name, rows)
        if self._networks is not None:
            values = self._networks.with_batch(name, values, rows)
        if self._kept:
            present = present & (self._kept[name] if rows is None else self._kept[name].index_select(0, rows))
        return values, present

    def _draw_mask(self) -> dict[str, Tensor]:
        return draw_modality_mask({name: self._bank().present(name) for name in self.names}, self.dropout)

    def _bank(self) -> ContentBank:
        if self.bank is None:
            raise RuntimeError("content was read before it was loaded")
        return self.bank


def _mark_stale(content: nn.Module, _: Any) -> None:
    # a resumed run or the best epoch's weights: the vectors were made by other weights
    if isinstance(content, ItemContent) and content._networks is not None:
        content._networks.stale = True


def _absent(width: int, n_items: int) -> Features:
    return Features(np.zeros((n_items, width), np.float32), np.zeros(n_items, bool))
