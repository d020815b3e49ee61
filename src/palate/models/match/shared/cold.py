"""Vectors for items that training gave none: new items, items hidden in training, and items that nobody took."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from palate.core.item_features import ItemFeatures
from palate.data.views import TrainView
from palate.features.item_content import ItemContent
from palate.models.match.shared.item_graph import arrivals_graph
from palate.models.match.shared.nearest import Near, nearest
from palate.modules.bank import ContentBank
from palate.modules.graph import Graph
from palate.modules.propagate import propagate


class HasContent(Protocol):
    """What is read and set of a matcher, which is a :class:`palate.models.match.shared.content_matcher.ContentMatcher`.

    Attributes:
        content: vectors of all items, by feature.
        known: bool [n_items], items that can be scored.
        final_items: float32 [n_items, d], None before the end of training.
    """

    content: ItemContent
    known: Tensor
    final_items: Tensor | None

    def describe(self, rows: Tensor) -> Tensor:
        """Vectors of items from content alone."""
        ...

    def get_buffer(self, target: str) -> Tensor:
        """A buffer by name."""
        ...

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add or replace a buffer."""
        ...


class ColdItems(ABC):
    """How items that training gave no vector get one. Immutable: a copy of a model keeps what it had."""

    def begin(self, model: HasContent, train: TrainView) -> None:
        """Register what the model has to remember of training.

        Args:
            model: its content is loaded.
            train: all that training may see.
        """
        return None

    @abstractmethod
    def load(self, model: HasContent, features: ItemFeatures) -> Self:
        """Take the content of all items; sets ``model.known``.

        Args:
            model: whose content is replaced.
            features: of all items.

        Returns:
            What :meth:`complete` of the same content is called on.
        """

    @abstractmethod
    def complete(self, model: HasContent, items: Tensor) -> Tensor:
        """Vectors of all items.

        Args:
            model: its content is loaded.
            items: float32 [fitted items, d], vectors that training gave.

        Returns:
            float32 [n_items, d].
        """

    @abstractmethod
    def trained_part(self, model: HasContent, items: Tensor) -> Tensor:
        """The vectors from which :meth:`complete` made ``items``.

        Args:
            model: at the end of training.
            items: float32 [n_items, d].
        """

    def settled(self) -> Self:
        """This at the end of training: nothing depends on content that is loaded at the moment."""
        return self


@dataclass(frozen=True)
class FromContent(ColdItems):
    """Items that nobody took are described by their content (:meth:`HasContent.describe`).

    Others are not touched by what arrives. The model remembers ``warm``, bool [fitted items]: those whose vectors are
    of training.

    Attributes:
        mean_length: scale described vectors to the mean length of warm ones; an item without content keeps the vector
            that training gave it.
        own_width: where content does not stand in for a vector but extends it, the width of the part that content does
            not fill; it is zero for items that nobody took. None: content stands in for the whole vector.
        untaken: whether fitted items that nobody took are described too; otherwise those that training may see keep the
            vectors that training gave them, as the public code of most papers scores them.
        block: items described at a time.
    """

    mean_length: bool = False
    own_width: int | None = None
    untaken: bool = True
    block: int = 8192

    def begin(self, model: HasContent, train: TrainView) -> None:
        own = train.warm_items if self.untaken else train.warm_items | train.visible_items
        model.register_buffer("warm", torch.from_numpy(own))
        self._mark(model, train.n_items)

    def load(self, model: HasContent, features: ItemFeatures) -> FromContent:
        model.content.load(features)
        self._mark(model, features.n_items)
        return self

    def complete(self, model: HasContent, items: Tensor) -> Tensor:
        known, n_items = model.known, len(model.known)
        items = pad(items, (0, 0, 0, n_items - len(items)))
        if self.own_width is not None:
            rows = torch.arange(n_items, device=items.device)
            return torch.cat([items, torch.cat([model.describe(part) for part in rows.split(self.block)])], 1)
        warm = pad(model.get_buffer("warm"), (0, n_items - len(model.get_buffer("warm"))))
        cold = known & ~warm if self.mean_length else ~warm
        rows = cold.nonzero().squeeze(1)
        length = items[warm].norm(dim=1).mean() if self.mean_length else None
        for part in rows.split(self.block) if len(rows) else ():
            described = model.describe(part).to(items.device)
            described = described if length is None else described * length
            items = items.index_copy(0, part.to(items.device), described)
        return items

    def trained_part(self, model: HasContent, items: Tensor) -> Tensor:
        return items[: len(model.get_buffer("warm")), : self.own_width]

    def _mark(self, model: HasContent, n_items: int) -> None:
        warm = model.get_buffer("warm")
        known = model.content.any_present(n_items).to(warm.device)
        known[: len(warm)] |= warm
        model.register_buffer("known", known)


@dataclass(frozen=True)
class _Arrived:
    """Items that arrived with one content, and their neighbours."""

    bank: ContentBank | None
    n_items: int
    neighbours: tuple[Tensor, Graph] | None
    known: Tensor


@dataclass(frozen=True)
class FromNeighbours(ColdItems):
    """Items without a vector take the mean of their nearest fitted items by content.

    The model remembers ``described``, bool [fitted items]: those that training gave a vector.

    Attributes:
        k: neighbours.
        weights: modality -> share in the mean.
    """

    k: int
    weights: Mapping[str, float]
    _neighbours: tuple[Tensor, Graph] | None = None
    _near: Near | None = None
    _recent: tuple[_Arrived, ...] = field(default=(), repr=False)

    def load(self, model: HasContent, features: ItemFeatures) -> FromNeighbours:
        described = model.get_buffer("described").cpu()
        if model.final_items is not None and model.content.network is None:
            return self._load_increment(model, features, described)
        model.content.load(features)
        bank, n_items = model.content.bank, features.n_items
        # validation on hidden items swaps between two contents every epoch
        arrived = next((one for one in self._recent if one.bank is bank and one.n_items == n_items), None)
        if arrived is None:
            fitted = pad(described, (0, n_items - len(described)))
            rows = (~fitted & model.content.any_present(n_items)).nonzero().squeeze(1)
            graph = arrivals_graph(model.content, rows, fitted, self.k, self.weights)
            known = fitted.index_fill(0, rows, graph is not None)
            arrived = _Arrived(bank, n_items, None if graph is None else (rows, graph), known)
        model.register_buffer("known", arrived.known.clone())
        recent = (arrived, *(one for one in self._recent if one is not arrived))[:2]
        return replace(self, _neighbours=arrived.neighbours, _recent=recent)

    def complete(self, model: HasContent, items: Tensor) -> Tensor:
        items = pad(items, (0, 0, 0, max(len(model.known) - len(items), 0)))
        if self._neighbours is None:
            return items
        rows, graph = self._neighbours
        return items.index_copy(0, rows.to(items.device), propagate(graph, items))

    def trained_part(self, model: HasContent, items: Tensor) -> Tensor:
        return items[: len(model.get_buffer("described"))]

    def settled(self) -> FromNeighbours:
        return FromNeighbours(self.k, self.weights)

    def _load_increment(self, model: HasContent, features: ItemFeatures, described: Tensor) -> FromNeighbours:
        """Find neighbours of items that came or changed since the last content, once training is over."""
        near = nearest(model.content, features, described, self.k, self.weights, self._near)
        rows = torch.from_numpy(near.rows)
        neighbours = None if near.graph is None else (rows, Graph.from_scipy(near.graph))
        known = pad(described, (0, features.n_items - len(described)))
        model.register_buffer("known", known.index_fill(0, rows, neighbours is not None))
        return replace(self, _neighbours=neighbours, _near=near)
