"""What is stated of items, as (item, property, value): attribute columns, and relations to what is no item."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from palate.core.batch import IntArray, RaggedArray
from palate.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from palate.data.views import TrainView

COLUMN = "values_"


@dataclass(frozen=True, eq=False)
class Properties:
    """Values of all properties are numbered through.

    Attributes:
        names: of the properties. first: int64 [p + 1], property j has the values first[j] .. first[j + 1] - 1.
        stated: the values of each item.
    """

    names: tuple[str, ...]
    first: IntArray
    stated: RaggedArray

    @classmethod
    def of(cls, view: TrainView) -> Properties:
        """All that the view states; a property with a single value tells nothing and is left out."""
        names, first, owners, values = [], [0], [], []
        for name, items, targets in _stated(view):
            known, codes = np.unique(targets, return_inverse=True)
            if len(known) > 1:
                names.append(name)
                owners.append(items)
                values.append(codes + first[-1])
                first.append(first[-1] + len(known))
        flat = [np.concatenate([np.zeros(0, np.int64), *part]) for part in (owners, values)]
        pairs = np.unique(np.stack(flat, axis=1), axis=0)
        return cls(tuple(names), np.array(first), RaggedArray.build(pairs[:, 0], pairs[:, 1], view.n_items))

    def kinds(self, values: IntArray) -> IntArray:
        """The property that each value belongs to."""
        found: IntArray = np.searchsorted(self.first, values, side="right") - 1
        return found

    def padded(self, most: int) -> IntArray:
        """int64 [n_items, w]: the first ``most`` values at most of each item, -1 where there is none."""
        width = int(min(most, self.stated.lengths.max(initial=0)))
        out = np.full((len(self.stated), width), -1)
        place = np.arange(len(self.stated.items)) - np.repeat(self.stated.indptr[:-1], self.stated.lengths)
        kept = place < width
        out[self.stated.owners()[kept], place[kept]] = self.stated.items[kept]
        return out

    def classes(self, name: str) -> IntArray:
        """int64 [n_items]: the first value of one property, -1 where none is stated.

        Args:
            name: of the property; empty: the first, and all are of one class where nothing is stated.

        Raises:
            ConfigError: when there is no such property.
        """
        if not name and not self.names:
            return np.zeros(len(self.stated), np.int64)
        name = name or self.names[0]
        if name not in self.names:
            raise ConfigError("nothing of this name is stated of the items", key=name, hint=_hint(name, self.names))
        at, owners = self.names.index(name), self.stated.owners()
        of = (self.kinds(self.stated.items) == at).nonzero()[0][::-1]
        out = np.full(len(self.stated), -1)
        out[owners[of]] = self.stated.items[of]
        return out


def _stated(view: TrainView) -> Iterator[tuple[str, IntArray, IntArray]]:
    """Name, items and values of each property."""
    for name, features in view.fields.items():
        # a column of very many values comes as directions of its space, which name no value
        there = np.flatnonzero(features.present)
        if name.startswith(COLUMN) and len(there) and (features.values[there] >= 0).all():
            items, values = features.values[there].nonzero()
            yield name.removeprefix(COLUMN), there[items], values
    for name, edges in view.relations.edges.items():
        if edges.target_kind != "item":
            yield name, edges.source, edges.target


def _hint(name: str, names: tuple[str, ...]) -> str:
    return did_you_mean(name, names) if names else "the items have no attributes and no relations"
