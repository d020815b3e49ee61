"""What matchers share in which an item that arrives later is the mean of its content neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from palate.core.config import AdaptedConfig
from palate.core.content import Features
from palate.features.item_content import ItemContent
from palate.models.match.shared.item_graph import arrivals_graph
from palate.models.match.shared.nearest import Near, nearest
from palate.models.match.shared.vectors import VectorMatcher
from palate.modules.graph import Graph
from palate.modules.propagate import propagate


class NeighbourConfig(AdaptedConfig):
    """Settings that place new items among their content neighbours."""

    k: int = Field(10, ge=1, description="content neighbours of an item, the item included")
    weights: dict[str, float] = Field(default_factory=dict, description="modality -> share of the item graph")


class NeighbourMatcher(VectorMatcher):
    """A :class:`VectorMatcher` with ``self.content`` (made in ``build``) and a buffer ``described`` bool [fitted].

    ``described`` marks items that training gave a vector; the others, hidden ones that arrive and new ones, take the
    mean vector of their content neighbours among them. Settings: ``config.k`` and ``config.weights``.
    """

    content: ItemContent
    config: NeighbourConfig
    arrivals: tuple[Tensor, Graph] | None = None
    _near: Near | None = None

    def on_fit_end(self) -> None:
        arrivals, self.arrivals = self.arrivals, None
        super().on_fit_end()
        self.content.freeze()
        self.arrivals = arrivals

    def update_items(self, content: Mapping[str, Features], n_items: int) -> None:
        described = self.get_buffer("described").cpu()
        if "final_items" in self._buffers and self.content.network is None:
            self._arrive(content, n_items, described)
            return
        self.content.load(content, n_items)
        memo = self.content.memo
        if "arrivals" not in memo:
            here = torch.cat([described, described.new_zeros(n_items - len(described))])
            arrived = (~here & self.content.any_present(n_items)).nonzero().squeeze(1)
            graph = arrivals_graph(self.content, arrived, here, self.config.k, self.config.weights)
            memo["arrivals"] = None if graph is None else (arrived, graph)
            memo["known"] = here.index_fill(0, arrived, graph is not None)
        self.arrivals = memo["arrivals"]
        self.register_buffer("known", memo["known"].clone())

    def _arrive(self, content: Mapping[str, Features], n_items: int, described: Tensor) -> None:
        """Neighbours of who came or changed since the last content, once training is over."""
        found = nearest(self.content, content, n_items, described, self.config.k, self.config.weights, self._near)
        self._near, rows = found, torch.from_numpy(found.rows)
        self.arrivals = None if found.graph is None else (rows, Graph.from_scipy(found.graph))
        here = torch.cat([described, described.new_zeros(n_items - len(described))])
        self.register_buffer("known", here.index_fill(0, rows, found.graph is not None))
        with torch.no_grad():
            kept = self.get_buffer("final_items")[: len(described)]
            self.register_buffer("final_items", self.with_arrivals(kept))

    def with_arrivals(self, items: Tensor) -> Tensor:
        """``items`` [fitted, d] grown to all items; arrived rows hold the mean of their content neighbours."""
        extra = len(self.get_buffer("known")) - len(items)
        if extra > 0:
            items = torch.cat([items, items.new_zeros(extra, items.shape[1])])
        if self.arrivals is None:
            return items
        rows, graph = self.arrivals
        return items.index_copy(0, rows.to(items.device), propagate(graph, items))
