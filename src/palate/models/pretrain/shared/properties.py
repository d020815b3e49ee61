"""Properties of items, as (item, property, value): attribute columns, and relations to entities."""

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
    """Values of all properties share one numbering.

    Attributes:
        names: names of the properties.
        offsets: int64 [p + 1], property j has the values offsets[j] .. offsets[j + 1] - 1.
        values: values of each item.
    """

    names: tuple[str, ...]
    offsets: IntArray
    values: RaggedArray

    @classmethod
    def from_view(cls, view: TrainView) -> Properties:
        """Collect all properties of a training view; one with a single value is left out."""
        names, offsets, owners, values = [], [0], [], []
        for name, items, targets in _tables(view):
            distinct, codes = np.unique(targets, return_inverse=True)
            if len(distinct) > 1:
                names.append(name)
                owners.append(items)
                values.append(codes + offsets[-1])
                offsets.append(offsets[-1] + len(distinct))
        flat = [np.concatenate([np.zeros(0, np.int64), *part]) for part in (owners, values)]
        pairs = np.unique(np.stack(flat, axis=1), axis=0)
        return cls(tuple(names), np.array(offsets), RaggedArray.build(pairs[:, 0], pairs[:, 1], view.n_items))

    def property_of(self, values: IntArray) -> IntArray:
        """Index of the property that each value belongs to."""
        index: IntArray = np.searchsorted(self.offsets, values, side="right") - 1
        return index

    def padded_values(self, limit: int) -> IntArray:
        """The first ``limit`` values at most of each item, int64 [n_items, w]; -1 is padding."""
        width = int(min(limit, self.values.lengths.max(initial=0)))
        out = np.full((len(self.values), width), -1)
        position = np.arange(len(self.values.items)) - np.repeat(self.values.indptr[:-1], self.values.lengths)
        mask = position < width
        out[self.values.owners()[mask], position[mask]] = self.values.items[mask]
        return out

    def classes(self, name: str) -> IntArray:
        """The first value of one property as the class of each item.

        Args:
            name: name of the property; empty: the first one, or a single class if items have no properties.

        Returns:
            int64 [n_items]; -1 where an item has no value.

        Raises:
            ConfigError: if there is no such property.
        """
        if not name and not self.names:
            return np.zeros(len(self.values), np.int64)
        name = name or self.names[0]
        if name not in self.names:
            hint = did_you_mean(name, self.names) if self.names else "the items have no attributes and no relations"
            raise ConfigError("the items have no such property", key=name, hint=hint)
        index, owners = self.names.index(name), self.values.owners()
        # reversed, so that the first value of an item is written last
        places = (self.property_of(self.values.items) == index).nonzero()[0][::-1]
        out = np.full(len(self.values), -1)
        out[owners[places]] = self.values.items[places]
        return out


def _tables(view: TrainView) -> Iterator[tuple[str, IntArray, IntArray]]:
    """Name, items and values of each property."""
    for name, features in view.fields.items():
        # a column with very many values comes as directions of its space, which do not name values
        present = np.flatnonzero(features.present)
        if name.startswith(COLUMN) and len(present) and (features.values[present] >= 0).all():
            items, values = features.values[present].nonzero()
            yield name.removeprefix(COLUMN), present[items], values
    for name, edges in view.relations.edges.items():
        if edges.target_kind != "item":
            yield name, edges.source, edges.target
