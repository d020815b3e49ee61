"""How alike items are in each part of their content, and how much each part counts.

A part is a column of attributes (cosine of its values, weighed by rarity), a column of numbers (closeness in rank) or a
modality (cosine of vectors). A part counts as far as it tells items of one history from items of different people: by
d^2, d = (mean similarity of pairs from one history - mean similarity of mixed pairs) / standard deviation (Cohen's
effect size), and not at all where d <= 0. Without histories all parts count alike. Our own recipe.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import rankdata

from palate.core.batch import IntArray, RaggedArray
from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.serving.snapshot import Lineage, ModelSnapshot

PAIRS, MIN_PAIRS = 20_000, 500
"""Pairs of items from one history that are sampled, and the least number from which weights are learned."""
Values = NDArray[np.float32]


@dataclass(frozen=True)
class ValuePart:
    """Values of an attribute column.

    Attributes:
        values: float32 [items, values], rows of norm 1, or empty.
    """

    values: sparse.csr_matrix

    @classmethod
    def build(cls, rows_by_value: Mapping[str, IntArray], size: int) -> ValuePart:
        """Weigh values by their rarity.

        Args:
            rows_by_value: value -> rows of the items that have it.
            size: number of items.
        """
        lists = list(rows_by_value.values())
        rarity = [np.log(size / len(rows)) + 1e-3 for rows in lists]
        data = np.concatenate([np.full(len(rows), weight) for rows, weight in zip(lists, rarity)])
        columns = np.repeat(np.arange(len(lists)), [len(rows) for rows in lists])
        table = sparse.csr_matrix((data, (np.concatenate(lists), columns)), (size, len(lists)), np.float32)
        norms = np.sqrt(np.asarray(table.multiply(table).sum(1)).ravel())
        return cls((sparse.diags_array(1 / np.maximum(norms, 1e-9)) @ table).tocsr().astype(np.float32))

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool [items]."""
        return np.asarray(np.diff(self.values.indptr) > 0)

    def to_all(self, row: int) -> Values:
        """Similarity of an item to all, float32 [items]."""
        return np.asarray((self.values @ self.values[[row]].T).todense(), np.float32).ravel()

    def of_pairs(self, left: IntArray, right: IntArray) -> Values:
        """Similarity of pairs of items, float32 [n]."""
        return np.asarray(self.values[left].multiply(self.values[right]).sum(1), np.float32).ravel()


@dataclass(frozen=True)
class NumberPart:
    """Ranks of a column of numbers.

    Attributes:
        ranks: float32 [items] in [0, 1], NaN where missing.
    """

    ranks: Values

    @classmethod
    def build(cls, numbers: NDArray[np.float64]) -> NumberPart:
        """Rank numbers, equal ones alike.

        Args:
            numbers: float64 [items], NaN where missing.
        """
        ranks = rankdata(numbers, nan_policy="omit")
        return cls((ranks / max(float(np.nanmax(ranks, initial=1.0)), 1.0)).astype(np.float32))

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool [items]."""
        return ~np.isnan(self.ranks)

    def to_all(self, row: int) -> Values:
        """Similarity of an item to all, float32 [items]."""
        return np.asarray(1 - np.abs(self.ranks - self.ranks[row]), np.float32)

    def of_pairs(self, left: IntArray, right: IntArray) -> Values:
        """Similarity of pairs of items, float32 [n]."""
        return np.asarray(1 - np.abs(self.ranks[left] - self.ranks[right]), np.float32)


@dataclass(frozen=True)
class VectorPart:
    """Vectors of a modality.

    Attributes:
        features: the vectors.
        norms: float32 [items].
    """

    features: Features
    norms: Values

    @property
    def present(self) -> NDArray[np.bool_]:
        """bool [items]."""
        return self.features.present

    def to_all(self, row: int) -> Values:
        """Similarity of an item to all, float32 [items]."""
        own = self.features.values[row].astype(np.float32) / self.norms[row]
        return np.asarray(self.features.values @ own.astype(self.features.values.dtype), np.float32) / self.norms

    def of_pairs(self, left: IntArray, right: IntArray) -> Values:
        """Similarity of pairs of items, float32 [n]."""
        values = self.features.values
        dots = np.einsum("nd,nd->n", values[left].astype(np.float32), values[right].astype(np.float32))
        return np.asarray(dots / (self.norms[left] * self.norms[right]), np.float32)


Part = ValuePart | NumberPart | VectorPart


class ItemAspects:
    """Parts of the content of a catalogue, and their weights.

    Args:
        parts: name -> part.
        histories: items that each user took, from which weights are learned.
        seed: of the sampled pairs.
        weights: weights that were learned before.
    """

    def __init__(
        self,
        parts: Mapping[str, Part],
        histories: RaggedArray,
        seed: int = 0,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.parts, self.histories, self.seed = parts, histories, seed
        if weights is not None:
            self.__dict__["weights"] = dict(weights)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Weight of each part; their sum is 1."""
        left, right = _pairs_of_histories(self.histories, self.seed)
        effects = dict.fromkeys(self.parts, 1.0)
        if len(left) >= MIN_PAIRS:
            mixed = np.random.default_rng(self.seed).permutation(right)
            effects = {name: _effect_size(part, left, right, mixed) ** 2 for name, part in self.parts.items()}
        if not any(effects.values()):
            effects = dict.fromkeys(self.parts, 1.0)
        total = sum(effects.values())
        return {name: effect / total for name, effect in effects.items()}

    def similarity(self, row: int) -> Values:
        """Weighted mean of the similarities of an item to all, each standardised over the catalogue.

        Args:
            row: row of the item.

        Returns:
            float32 [items]; a part that an item lacks counts as average, NaN for items without any part.

        Raises:
            FeatureError: if the item has no content that counts.
        """
        total: Values = np.zeros(1, np.float32)
        known = np.zeros(0, bool)
        for name, part in self.parts.items():
            present = part.present
            if not present[row] or not self.weights[name]:
                continue
            values = part.to_all(row)
            mean, spread = float(values[present].mean()), float(values[present].std())
            scaled = np.where(present, (values - mean) / max(spread, 1e-9), 0)
            total = np.asarray(total + self.weights[name] * scaled, np.float32)
            known = present if not len(known) else known | present
        if not len(known):
            raise FeatureError("this item has no content to compare")
        return np.where(known, total, np.nan).astype(np.float32)


_ASPECTS: WeakKeyDictionary[ModelSnapshot, ItemAspects] = WeakKeyDictionary()
_WEIGHTS: WeakKeyDictionary[Lineage, dict[str, float]] = WeakKeyDictionary()


def aspects_of(snapshot: ModelSnapshot) -> ItemAspects:
    """The parts of a catalogue: its columns of attributes, and its vectors but those of attributes.

    Args:
        snapshot: the catalogue.
    """
    if snapshot not in _ASPECTS:
        filters, stats = snapshot.stats.filters, snapshot.stats
        parts: dict[str, Part] = {f"{n}=": NumberPart.build(v) for n, v in filters.numbers.items() if len(v)}
        parts |= {f"{n}=": ValuePart.build(rows, len(snapshot)) for n, rows in filters.values.items() if rows}
        names = [name for name in stats.modality_features if not parts or name != "attributes"]
        parts |= {name: VectorPart(snapshot.features[name], stats.vector_norms(name)) for name in names}
        # histories end with the run, so that items added since change no weight
        learned = _WEIGHTS.get(snapshot.lineage)
        aspects = ItemAspects(parts, snapshot.deployment.seen, weights=learned)
        _ASPECTS[snapshot], _WEIGHTS[snapshot.lineage] = aspects, aspects.weights
    return _ASPECTS[snapshot]


def _pairs_of_histories(histories: RaggedArray, seed: int) -> tuple[IntArray, IntArray]:
    """Pairs of different items of one history each, at most :data:`PAIRS`."""
    items, owners = histories.items, histories.owners()
    if not len(items):
        return items, items
    rng = np.random.default_rng(seed)
    places = rng.integers(0, len(items), PAIRS)
    lengths, starts = np.diff(histories.indptr)[owners[places]], histories.indptr[owners[places]]
    left, right = items[places], items[starts + (rng.random(PAIRS) * lengths).astype(np.int64)]
    different = left != right
    return left[different], right[different]


def _effect_size(part: Part, left: IntArray, right: IntArray, mixed: IntArray) -> float:
    present = part.present
    own = present[left] & present[right]
    other = present[left] & present[mixed] & (left != mixed)
    if min(own.sum(), other.sum()) < MIN_PAIRS // 2:
        return 0.0
    near, far = part.of_pairs(left[own], right[own]), part.of_pairs(left[other], mixed[other])
    spread = float(np.sqrt((near.var() + far.var()) / 2))
    return max(float(near.mean() - far.mean()) / spread, 0.0) if spread > 0 else 0.0
