"""What models are handed: users with their histories, and training batches.

Data are read without torch, so it is imported where a batch is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class RaggedArray:
    """Ragged integer lists in CSR form.

    Attributes:
        indptr: int64 [n + 1].
        items: int64 [indptr[-1]], each list in time order where time is known.
        times: int64, aligned with ``items``, or None.
        events: int64 codes of event types, aligned with ``items``, or None.
    """

    indptr: IntArray
    items: IntArray
    times: IntArray | None = None
    events: IntArray | None = None

    def __len__(self) -> int:
        return len(self.indptr) - 1

    def __getitem__(self, row: int) -> IntArray:
        return self.items[self.indptr[row] : self.indptr[row + 1]]

    @property
    def lengths(self) -> IntArray:
        """int64 [n]."""
        return np.diff(self.indptr)

    def newest(self, longest: int) -> RaggedArray:
        """The last ``longest`` items of each list.

        Args:
            longest: items kept at most.
        """
        place = self.indptr[1:][self.owners()] - np.arange(len(self.items))
        keep = place <= longest
        indptr = np.concatenate([[0], np.cumsum(np.minimum(self.lengths, longest))]).astype(np.int64)
        times, events = (None if one is None else one[keep] for one in (self.times, self.events))
        return RaggedArray(indptr, self.items[keep], times, events)

    @classmethod
    def build(
        cls,
        owners: IntArray,
        items: IntArray,
        n: int,
        times: IntArray | None = None,
        events: IntArray | None = None,
    ) -> RaggedArray:
        """Group ``items`` by ``owners`` (0..n-1); within a list by time where given, else by item id.

        Args:
            owners: int64 [e], the list that each entry belongs to.
            items: int64 [e].
            n: number of lists.
            times: int64 [e] or None.
            events: int64 [e] codes of event types, or None.
        """
        order = np.lexsort((items, owners)) if times is None else np.lexsort((items, times, owners))
        indptr = np.zeros(n + 1, np.int64)
        np.cumsum(np.bincount(owners, minlength=n), out=indptr[1:])
        items = np.ascontiguousarray(items[order], dtype=np.int64)
        return cls(indptr, items, _gather(times, order), _gather(events, order))

    @classmethod
    def of(cls, lists: Sequence[Sequence[int]]) -> RaggedArray:
        """From Python lists, in the order given."""
        indptr = np.cumsum([0, *map(len, lists)]).astype(np.int64)
        flat = [item for row in lists for item in row]
        return cls(indptr, np.array(flat, dtype=np.int64))

    def take(self, rows: IntArray) -> RaggedArray:
        """The lists of ``rows``, in that order."""
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and rows[0] >= 0 and bool((rows[1:] - rows[:-1] == 1).all()):
            return self._slice(int(rows[0]), int(rows[-1]) + 1)
        starts = self.indptr[rows]
        lengths = self.indptr[rows + 1] - starts
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        shift = np.repeat(starts - indptr[:-1], lengths)
        index = np.arange(indptr[-1]) + shift
        return RaggedArray(indptr, self.items[index], _gather(self.times, index), _gather(self.events, index))

    def _slice(self, start: int, stop: int) -> RaggedArray:
        """Lists ``start .. stop - 1``; entries are views, not copies."""
        indptr = self.indptr[start : stop + 1]
        entries = slice(int(indptr[0]), int(indptr[-1]))
        return RaggedArray(
            indptr - indptr[0], self.items[entries], _gather(self.times, entries), _gather(self.events, entries)
        )

    def owners(self) -> IntArray:
        """int64 [indptr[-1]]: the list each entry belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)


def _gather(values: IntArray | None, index: IntArray | slice) -> IntArray | None:
    return None if values is None else values[index]


@dataclass(frozen=True, eq=False)
class UserBatch:
    """Users as models see them; a visitor with three likes is an ordinary user.

    Attributes:
        rows: int64 [B], the row in the training user table, -1 for users not in it.
        history: items each user is known to have taken, B lists.
        attributes: optional float features [B, a].
    """

    rows: IntArray
    history: RaggedArray
    attributes: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: IntArray) -> UserBatch:
        """A sub-batch."""
        attributes = None if self.attributes is None else self.attributes[index]
        return UserBatch(self.rows[index], self.history.take(index), attributes)


@dataclass(frozen=True, eq=False)
class Batch:
    """A training batch; every tensor field has the batch's entries in its first dimension unless it says otherwise."""

    def __len__(self) -> int:
        raise NotImplementedError

    def to(self, device: torch.device | str) -> Self:
        """This batch on a device.

        Args:
            device: where tensors go.
        """
        moved = {f.name: _moved(getattr(self, f.name), device) for f in fields(self)}
        return replace(self, **moved)

    def take(self, index: Tensor) -> Self:
        """Some entries, in the order of ``index``.

        Args:
            index: int64 [b], entries of this batch.
        """
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class PairBatch(Batch):
    """Users with an item that each took.

    Attributes:
        users: int64 [B], rows of the user table.
        items: int64 [B], positives.
        negatives: int64 [B, n]; n may be 0.
    """

    users: Tensor
    items: Tensor
    negatives: Tensor

    def __len__(self) -> int:
        return len(self.users)

    def take(self, index: Tensor) -> PairBatch:
        """Some pairs."""
        return PairBatch(self.users[index], self.items[index], self.negatives[index])


@dataclass(frozen=True, eq=False)
class ExampleBatch(Batch):
    """Examples made of items.

    Attributes:
        rows: int64 [B, m], the m items of each example; what m means is the model's.
    """

    rows: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Tensor) -> ExampleBatch:
        """Some examples."""
        return ExampleBatch(self.rows[index])


@dataclass(frozen=True, eq=False)
class SequenceBatch(Batch):
    """Histories packed one after the other, with a target at every position.

    Position ``t`` of a history asks for the item taken after it; ``T`` counts the positions of all histories.

    Attributes:
        users: int64 [B], rows of the user table, -1 for users not in it.
        indptr: int64 [B + 1], where each history starts in the packed fields.
        items: int64 [T], what was taken, oldest first.
        targets: int64 [T], what was taken next.
        negatives: int64 [T, n]; n may be 0.
        times: int64 [T], when ``items`` were taken, or None.
        events: int64 [T], codes of event types, or None.
    """

    users: Tensor
    indptr: Tensor
    items: Tensor
    targets: Tensor
    negatives: Tensor
    times: Tensor | None = None
    events: Tensor | None = None

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> Tensor:
        """int64 [B], positions of each history."""
        return self.indptr[1:] - self.indptr[:-1]

    def owners(self) -> Tensor:
        """int64 [T], the history of each position."""
        import torch

        return torch.repeat_interleave(torch.arange(len(self), device=self.items.device), self.lengths)

    def padded(self, packed: Tensor, fill: int = -1, right: bool = False) -> Tensor:
        """A packed field as a rectangle.

        Args:
            packed: [T, ...], such as ``items``.
            fill: value of padding.
            right: pad on the right; else on the left, so that the newest position is the last.

        Returns:
            [B, longest history, ...].
        """
        import torch

        longest = int(self.lengths.max()) if len(self) else 0
        out = packed.new_full((len(self), longest, *packed.shape[1:]), fill)
        owners = self.owners()
        first = self.indptr[:-1] if right else self.indptr[1:] - longest
        place = torch.arange(len(packed), device=packed.device) - first[owners]
        out[owners, place] = packed
        return out

    def take(self, index: Tensor) -> SequenceBatch:
        """Some histories."""
        import torch

        lengths = self.lengths[index]
        indptr = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        inside = torch.arange(int(indptr[-1])) - torch.repeat_interleave(indptr[:-1], lengths)
        at = torch.repeat_interleave(self.indptr[:-1][index], lengths) + inside
        times, events = (None if packed is None else packed[at] for packed in (self.times, self.events))
        packed = (self.items[at], self.targets[at], self.negatives[at], times, events)
        return SequenceBatch(self.users[index], indptr, *packed)


@dataclass(frozen=True, eq=False)
class ImpressionBatch(Batch):
    """Events with a label: items shown to users, and what came of it.

    Histories belong to groups (impressions, or users): events of one group share them.

    Attributes:
        users: int64 [N], rows of the user table, -1 for users not in it.
        items: int64 [N], rows of the item table.
        labels: float32 [N]; zero where unknown.
        groups: int64 [N], the group of each event: its row in ``indptr``.
        indptr: int64 [G + 1], where each group's history starts in ``history``.
        history: int64 [H], items taken before, oldest first.
        fields: context field -> int64 ids [N], int64 ids [N, width] padded with 0, or float32 numbers [N].
        times: int64 [N], or None.
        counters: float32 [N, columns] of what was known before each event, or None.
        history_times: int64 [H], when the items of histories were taken, or None.
    """

    users: Tensor
    items: Tensor
    labels: Tensor
    groups: Tensor
    indptr: Tensor
    history: Tensor
    fields: Mapping[str, Tensor] = field(default_factory=dict)
    times: Tensor | None = None
    counters: Tensor | None = None
    history_times: Tensor | None = None

    def __len__(self) -> int:
        return len(self.items)

    def padded_history(self, longest: int, fill: int = -1) -> Tensor:
        """The newest ``longest`` items of each group's history, padded on the left: int64 [G, longest].

        Args:
            longest: width.
            fill: value of padding.
        """
        return self._padded(self.history, longest, fill)

    def padded_times(self, longest: int, fill: int = 0) -> Tensor:
        """When the items of :meth:`padded_history` were taken, int64 [G, longest]; all ``fill`` without times.

        Args:
            longest: width.
            fill: value of padding.
        """
        import torch

        times = torch.full_like(self.history, fill) if self.history_times is None else self.history_times
        return self._padded(times, longest, fill)

    def _padded(self, values: Tensor, longest: int, fill: int) -> Tensor:
        import torch

        ends = self.indptr[1:, None]
        place = ends - longest + torch.arange(longest, device=ends.device)
        inside = place >= self.indptr[:-1, None]
        if not len(values):
            return torch.full_like(place, fill)
        return torch.where(inside, values[place.clamp(min=0)], fill)

    def take(self, index: Tensor) -> ImpressionBatch:
        """Some events; groups and their histories stay."""
        some = {name: values[index] for name, values in self.fields.items()}
        times = None if self.times is None else self.times[index]
        events = (self.users[index], self.items[index], self.labels[index], self.groups[index])
        counters = None if self.counters is None else self.counters[index]
        return ImpressionBatch(*events, self.indptr, self.history, some, times, counters, self.history_times)


@dataclass(frozen=True, eq=False)
class TokenBatch(Batch):
    """Token sequences of texts, pictures (as codes or patches), or both.

    Attributes:
        ids: int64 [B, L], token ids; what padding holds means nothing.
        mask: bool [B, L], False at padding.
        targets: int64 [B, L], the id to predict at each position, -100 where none is.
        segments: int64 [B, L], the modality of each token, or None.
        rows: int64 [B], the item or user each sequence is about, -1 for none.
    """

    ids: Tensor
    mask: Tensor
    targets: Tensor
    segments: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, index: Tensor) -> TokenBatch:
        """Some sequences."""
        segments, rows = (None if part is None else part[index] for part in (self.segments, self.rows))
        return TokenBatch(self.ids[index], self.mask[index], self.targets[index], segments, rows)


class BatchSource(Protocol):
    """Where training batches come from; one epoch is every row once.

    Attributes:
        sequential: draws of a batch follow those of the batch before (one generator an epoch), so batches are made in
            order in the training process. Otherwise each batch has a generator of its own, and worker processes may
            make them: :meth:`collate` must then be pure.
    """

    @property
    def sequential(self) -> bool:
        """Whether draws of a batch follow those of the batch before."""
        ...

    def __len__(self) -> int:
        """Rows of an epoch."""
        ...

    def collate(self, rows: IntArray, rng: np.random.Generator) -> Batch:
        """A batch on the CPU.

        Args:
            rows: int64 [B], rows of this source.
            rng: for all that is drawn.
        """
        ...


def _moved(value: Any, device: torch.device | str) -> Any:
    from torch import Tensor

    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, Mapping):
        return {name: _moved(one, device) for name, one in value.items()}
    return tuple(_moved(one, device) for one in value) if isinstance(value, tuple) else value
