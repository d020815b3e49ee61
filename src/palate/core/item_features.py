"""Vectors of one catalogue, immutable, with a record of which rows differ from earlier ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary, ref

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features, concat, pad_rows
from palate.core.errors import FeatureError

BLOCK = 1024
"""Rows compared at a time."""
MAX_ANCESTORS = 8
"""Earlier versions of a feature whose differences are remembered."""

Rows = NDArray[np.int64]
_differences: WeakKeyDictionary[Features, tuple[tuple[ref[Features], Rows], ...]] = WeakKeyDictionary()


class ItemFeatures(Mapping[str, Features]):
    """Encoded content of all items of one catalogue: feature name -> :class:`Features` of ``n_items`` rows.

    Immutable: :meth:`append`, :meth:`with_rows`, :meth:`without` and :meth:`select` return new objects that share the
    arrays that stay the same, and :meth:`changed_since` knows what they changed without reading the vectors.

    Args:
        vectors: feature name -> features, all with one row per item.
        n_items: number of items; needed only where ``vectors`` is empty.
        sources: feature name -> the modalities it is made of; by default the part of the name before a dot.

    Raises:
        FeatureError: if a feature has another number of rows.
    """

    def __init__(
        self,
        vectors: Mapping[str, Features],
        n_items: int | None = None,
        sources: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self._vectors = dict(vectors)
        self._n_items = n_items if n_items is not None else len(next(iter(self._vectors.values()), ()))
        for name, features in self._vectors.items():
            if len(features) != self._n_items:
                raise FeatureError(f"{len(features)} rows of vectors for {self._n_items} items", key=name)
        known = dict(sources or {})
        self._sources = {name: known.get(name, (name.partition(".")[0],)) for name in self._vectors}

    @classmethod
    def of(cls, vectors: Mapping[str, Features], n_items: int | None = None) -> ItemFeatures:
        """``vectors`` themselves if they are item features of ``n_items`` rows already, else made into such.

        Raises:
            FeatureError: if a feature has another number of rows.
        """
        if isinstance(vectors, ItemFeatures) and n_items in (None, vectors.n_items):
            return vectors
        return cls(vectors, n_items, vectors.sources if isinstance(vectors, ItemFeatures) else None)

    def __getitem__(self, name: str) -> Features:
        return self._vectors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._vectors)

    def __len__(self) -> int:
        return len(self._vectors)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"ItemFeatures({', '.join(self._vectors) or 'none'}; n_items={self._n_items})"

    @property
    def n_items(self) -> int:
        """Number of items, with content or without."""
        return self._n_items

    @property
    def sources(self) -> Mapping[str, tuple[str, ...]]:
        """Feature name -> the modalities it is made of."""
        return self._sources

    def select(self, names: Iterable[str]) -> ItemFeatures:
        """Only the features in ``names`` that there are, in the order of ``names``."""
        return ItemFeatures({n: self._vectors[n] for n in names if n in self._vectors}, self._n_items, self._sources)

    def take(self, rows: Rows) -> ItemFeatures:
        """The features of some items, in the order of ``rows`` int64 [m]."""
        return ItemFeatures({name: one.take(rows) for name, one in self.items()}, len(rows), self._sources)

    def replace(self, vectors: Mapping[str, Features]) -> ItemFeatures:
        """A copy with other vectors for some features, or with further features."""
        sources = {**self._sources, **(vectors.sources if isinstance(vectors, ItemFeatures) else {})}
        return ItemFeatures({**self._vectors, **vectors}, self._n_items, sources)

    def append(self, features: Mapping[str, Features], rows: int | None = None) -> ItemFeatures:
        """The catalogue with new items at its end.

        Args:
            features: vectors of the new items; they lack a feature that is not named.
            rows: number of new items; needed only where ``features`` is empty.

        Raises:
            FeatureError: if vectors come from another encoder, or differ in their number of rows.
        """
        new = ItemFeatures(features, rows)
        size = self._n_items + new.n_items
        added = np.arange(self._n_items, size)
        longer = {n: concat(old, new[n]) if n in new else pad_rows(old, new.n_items) for n, old in self.items()}
        for name, features_now in longer.items():
            _record(features_now, self._vectors[name], added)
        return ItemFeatures(longer, size, self._sources)

    def with_rows(self, rows: Rows, features: Mapping[str, Features], n_items: int | None = None) -> ItemFeatures:
        """A copy in which the items ``rows`` have the content ``features``.

        Args:
            rows: int64 [m]; rows of the catalogue, or beyond its end where ``n_items`` is larger.
            features: pooled vectors or maps of ``m`` items, in the order of ``rows``; items lack a feature that is not
                named.
            n_items: number of items of the copy, by default as many as now; further rows are absent.

        Raises:
            FeatureError: for token features, which cannot be replaced by row.
        """
        size = self._n_items if n_items is None else n_items
        changed = np.union1d(rows, np.arange(self._n_items, size)).astype(np.int64)
        copies = {}
        for name, old in self.items():
            if old.kind == "tokens":
                raise FeatureError("token features cannot be replaced by row", key=name)
            values = np.zeros((size, *old.values.shape[1:]), old.values.dtype)
            present = np.zeros(size, bool)
            values[: len(old)], present[: len(old)] = old.values, old.present
            new = features.get(name)
            values[rows] = 0 if new is None else new.values
            present[rows] = False if new is None else new.present
            copies[name] = replace(old, values=values, present=present)
            _record(copies[name], old, changed)
        return ItemFeatures(copies, size, self._sources)

    def without(self, missing: Mapping[str, NDArray[np.bool_]]) -> ItemFeatures:
        """A copy in which items lack modalities, and with them every feature made of one of them.

        Args:
            missing: modality -> bool [n_items], True for the items that lack it.
        """
        copies = dict(self._vectors)
        for name, old in self.items():
            lost = [missing[modality] for modality in self._sources[name] if modality in missing]
            rows = np.flatnonzero(np.any(lost, axis=0)) if lost else np.zeros(0, np.int64)
            if len(rows):
                copies[name] = old.mask_rows(~np.any(lost, axis=0))
                _record(copies[name], old, rows)
        return ItemFeatures(copies, self._n_items, self._sources)

    def changed_since(self, other: Mapping[str, Features]) -> Rows:
        """Rows whose content differs from that in ``other``, or that are new, ascending.

        All rows where a feature appears or vanishes, the order of features differs, or one comes from another encoder.
        O(changed) for copies that were made from ``other`` by the methods of this class, and for arrays that share
        memory; else vectors and presence are compared, O(values) once for each pair of features.

        Returns:
            int64 [m].
        """
        if list(self) != list(other) or not all(_comparable(other[name], self[name]) for name in self):
            return np.arange(self._n_items)
        known = len(next(iter(other.values()), ())) if not isinstance(other, ItemFeatures) else other.n_items
        changed = np.arange(self._n_items) >= known
        for name, features in self.items():
            rows = _differing(other[name], features)
            changed[rows[rows < self._n_items]] = True
        return np.flatnonzero(changed)


def _record(new: Features, old: Features, rows: Rows) -> None:
    """Remember that ``new`` differs from ``old``, and from what ``old`` was made of, in no more than ``rows``."""
    earlier = [(one, np.union1d(rows, before)) for one, before in _differences.get(old, ()) if one() is not None]
    _differences[new] = ((ref(old), rows), *earlier)[:MAX_ANCESTORS]


def _comparable(a: Features, b: Features) -> bool:
    if a is b:
        return True
    return (
        (a.kind, a.identity, a.fitted_on, a.values.dtype) == (b.kind, b.identity, b.fitted_on, b.values.dtype)
        and a.values.shape[1:] == b.values.shape[1:]
        and (a.kind != "tokens" or any(one() is a for one, _ in _differences.get(b, ())))
    )


def _differing(old: Features, new: Features) -> Rows:
    """Rows that both have and that differ, possibly with rows that only ``new`` has."""
    if old is new:
        return np.zeros(0, np.int64)
    for one, rows in _differences.get(new, ()):
        if one() is old:
            return rows
    size = min(len(old), len(new))
    differs = old.present[:size] != new.present[:size]
    if not _same_memory(old.values, new.values):
        for start in range(0, size, BLOCK):
            block = slice(start, min(start + BLOCK, size))
            unequal = old.values[block] != new.values[block]
            # most blocks are equal
            if unequal.any():
                differs[block] |= unequal.reshape(len(unequal), -1).any(1)
    rows = np.flatnonzero(differs)
    # members of a composed model compare the same features one after another
    _differences[new] = ((ref(old), rows), *_differences.get(new, ()))[:MAX_ANCESTORS]
    return rows


def _same_memory(a: NDArray[Any], b: NDArray[Any]) -> bool:
    """Whether both begin at the same address and have the same strides, so that the rows both have are the same."""
    return a.__array_interface__["data"][0] == b.__array_interface__["data"][0] and a.strides == b.strides
