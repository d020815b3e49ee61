"""Relations: typed, weighted edges of knowledge graphs, co-purchases and given k-NN graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import DataError
from palate.core.files import digest


@dataclass(frozen=True, eq=False)
class Edges:
    """Edges of one relation between item rows (``source``) and rows of ``target_kind``.

    Attributes:
        source: int64 [e], rows of items.
        target: int64 [e], rows of ``target_kind``.
        weight: float32 [e].
        target_kind: ``item``, or the name of another entity kind (an attribute value, a tag).
        target_names: external names of non-item targets.

    Raises:
        DataError: if lengths differ or a weight is not finite.
    """

    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float32]
    target_kind: str = "item"
    target_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.source) == len(self.target) == len(self.weight):
            raise DataError("source, target and weight differ in length")
        if len(self.weight) and not np.isfinite(self.weight).all():
            at = int(np.flatnonzero(~np.isfinite(self.weight))[0])
            raise DataError("edge weight is not finite", row=at + 1, column="weight")

    def __len__(self) -> int:
        return len(self.source)

    def subgraph(self, visible: NDArray[np.bool_]) -> Edges:
        """Edges between visible items, and from visible items to other entities.

        Args:
            visible: bool [n_items].
        """
        keep = visible[self.source]
        if self.target_kind == "item":
            keep &= visible[self.target]
        return Edges(self.source[keep], self.target[keep], self.weight[keep], self.target_kind, self.target_names)


@dataclass(frozen=True, eq=False)
class Relations:
    """Named sets of edges.

    Attributes:
        edges: relation -> edges; ``knn_<modality>`` is a given nearest-neighbour graph over that modality.
    """

    edges: Mapping[str, Edges] = field(default_factory=dict)

    def subgraph(self, visible: NDArray[np.bool_]) -> Relations:
        """Restrict every relation to visible items.

        Args:
            visible: bool [n_items].
        """
        return Relations({name: edges.subgraph(visible) for name, edges in self.edges.items()})

    def content_hash(self) -> str:
        """Hash of all edges."""
        parts: list[bytes | str] = []
        for name, edges in sorted(self.edges.items()):
            parts += [name, edges.source.tobytes(), edges.target.tobytes(), edges.weight.tobytes()]
            parts += [edges.target_kind, *edges.target_names]
        return digest(*parts)
