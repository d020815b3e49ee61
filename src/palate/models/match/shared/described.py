"""What matchers share in which an item nobody took is described by its content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from palate.core.content import Features
from palate.core.errors import UnsupportedError
from palate.features.item_content import ItemContent
from palate.models.match.shared.vectors import VectorMatcher

if TYPE_CHECKING:
    from palate.data.views import TrainView


class DescribedMatcher(VectorMatcher):
    """A :class:`VectorMatcher` with ``self.content`` (made in ``build``) and :meth:`describe`.

    Rows of items nobody took, hidden ones that arrive and new ones, are always described from content; the others are
    never touched by what arrives.
    """

    content: ItemContent

    def read_content(self, train: TrainView) -> None:
        """Fit and load content; call it in ``setup``."""
        self.register_buffer("warm", torch.from_numpy(train.warm_items))
        self.content.fit({name: train.features[name] for name in self.content.names}, train.n_items)
        self._know(train.n_items)

    def describe(self, rows: Tensor) -> Tensor:
        """Vectors [b, d] of items ``rows`` int64 [b] from content alone; zero where there is none."""
        raise UnsupportedError(f"{self.name} cannot describe items")

    def with_content(self, items: Tensor, block: int = 8192) -> Tensor:
        """``items`` [fitted, d] grown to all items, those nobody took described."""
        known, warm = self.get_buffer("known"), self.get_buffer("warm")
        items = torch.cat([items, items.new_zeros(len(known) - len(items), items.shape[1])])
        warm = torch.cat([warm, warm.new_zeros(len(known) - len(warm))])
        rows = (~warm).nonzero().squeeze(1)
        for part in rows.split(block) if len(rows) else ():
            items = items.index_copy(0, part.to(items.device), self.describe(part).to(items.device))
        return items

    def update_items(self, content: Mapping[str, Features], n_items: int) -> None:
        self.content.load(content, n_items)
        self._know(n_items)
        if "final_items" in self._buffers:
            with torch.no_grad():
                kept = self.get_buffer("final_items")[: len(self.get_buffer("warm"))]
                self.register_buffer("final_items", self.with_content(kept).cpu())

    def _know(self, n_items: int) -> None:
        warm = self.get_buffer("warm")
        known = self.content.any_present(n_items).to(warm.device)
        known[: len(warm)] |= warm
        self.register_buffer("known", known)
