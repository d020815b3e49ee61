"""All fields of events at once: one table of embeddings, and one look-up for users, items and context each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.batch import ImpressionBatch
from palate.data.schema import OUT_OF_VOCABULARY, PADDING
from palate.modules.fields import FieldTables

Owner = Literal["user", "item", "context"]
OWNERS: tuple[Owner, ...] = ("user", "item", "context")


@dataclass(frozen=True)
class Columns:
    """Columns of one owner, as rows of the table of embeddings.

    Attributes:
        single: int64 [n, s], one id a field.
        several: int64 [n, width] for each multi-valued field; 0 is padding.
        numbers: float32 [n, c].
    """

    single: Tensor
    several: tuple[Tensor, ...]
    numbers: Tensor


class FieldSlots(nn.Module):
    """Embeddings of the fields of users, items and context.

    An event's field is a row of a table, the mean over several rows, or a direction times a number. Padding is zero,
    also in training. Memory O(ids dim); an event costs O(fields dim), whatever the number of tables.

    Args:
        tables: encoded columns of users and items.
        names: fields that are embedded, no sequences among them.
        dim: width of an embedding.
        std: standard deviation of what embeddings start from.
    """

    def __init__(self, tables: FieldTables, names: Sequence[str], dim: int, std: float = 0.01) -> None:
        super().__init__()
        schema = tables.schema
        # held in a list, so that the tables are not a part of this module as well as of the model
        self._tables = [tables]
        self.names: dict[Owner, dict[str, list[str]]] = {}
        self.offsets: dict[str, int] = {}
        total = 0
        for owner in OWNERS:
            own = [schema[name] for name in names if schema[name].owner == owner]
            kinds = ("categorical", "multivalued", "numeric")
            self.names[owner] = {kind: [one.name for one in own if one.kind == kind] for kind in kinds}
            for one in own:
                if one.kind != "numeric":
                    self.offsets[one.name] = total
                    total += one.size - 1
        numeric = sum(len(kinds["numeric"]) for kinds in self.names.values())
        weights = torch.randn(1 + total, dim) * std
        weights[PADDING] = 0
        self.table = nn.Parameter(weights, requires_grad=bool(total))
        self.directions = nn.Parameter(torch.randn(numeric, dim) * std, requires_grad=bool(numeric))
        self._packed: dict[Owner, tuple[tuple[Tensor, ...], Columns]] = {}

    @property
    def order(self) -> list[str]:
        """Names of the fields in the order of the slots."""
        return [name for owner in OWNERS for kind in self.names[owner].values() for name in kind]

    def entities(self, owner: Owner, rows: Tensor) -> Tensor:
        """Embeddings of users or items, float32 [..., fields, dim]; -1 is an unknown entity.

        Args:
            owner: ``user`` or ``item``.
            rows: int64 [...].
        """
        packed = self._columns(owner)
        flat = rows.flatten()
        at = torch.where(flat < 0, len(packed.single) - 1, flat)
        several = tuple(ids[at] for ids in packed.several)
        out = self._embed(owner, Columns(packed.single[at], several, packed.numbers[at]))
        return out.view(*rows.shape, *out.shape[1:])

    def context(self, fields: Mapping[str, Tensor]) -> Tensor:
        """Embeddings of context, float32 [n, fields, dim].

        Args:
            fields: name -> ids [n], ids [n, width] or numbers [n].
        """
        return self._embed("context", self._pack("context", fields))

    def forward(self, batch: ImpressionBatch) -> Tensor:
        """Embeddings of all fields of events, float32 [n, fields, dim], in the order of :attr:`order`.

        Args:
            batch: n events.
        """
        parts = [self.entities("user", batch.users), self.entities("item", batch.items)]
        if any(self.names["context"].values()):
            parts.append(self.context(batch.fields))
        return torch.cat(parts, 1)

    def _embed(self, owner: Owner, columns: Columns) -> Tensor:
        parts = []
        if columns.single.shape[1] or columns.several:
            # one look-up for all fields: each look-up's gradient is as large as the table
            found = F.embedding(torch.cat([columns.single, *columns.several], 1), self.table, padding_idx=PADDING)
            start = columns.single.shape[1]
            parts.append(found[:, :start])
            for ids in columns.several:
                count = (ids != PADDING).sum(1, keepdim=True).clamp(min=1)
                parts.append((found[:, start : start + ids.shape[1]].sum(1) / count)[:, None])
                start += ids.shape[1]
        if columns.numbers.shape[1]:
            parts.append(columns.numbers[..., None] * self.directions[self._numbers(owner)])
        return torch.cat(parts, 1) if parts else self.table.new_zeros(len(columns.single), 0, self.table.shape[1])

    def _numbers(self, owner: Owner) -> slice:
        start = 0
        for other in OWNERS:
            count = len(self.names[other]["numeric"])
            if other == owner:
                return slice(start, start + count)
            start += count
        return slice(0, 0)

    def _columns(self, owner: Owner) -> Columns:
        """The owner's tables as rows of embeddings, with a last row for unknown entities; kept until they change."""
        tables = self._tables[0]
        names = [name for kind in self.names[owner].values() for name in kind]
        sources = tuple(tables.table(name) for name in names)
        kept = self._packed.get(owner)
        if kept is None or len(kept[0]) != len(sources) or any(a is not b for a, b in zip(kept[0], sources)):
            values = {}
            for name, source in zip(names, sources):
                fill = OUT_OF_VOCABULARY if not tables.schema[name].column else PADDING
                values[name] = torch.cat([source, source.new_full((1, *source.shape[1:]), fill)])
            kept = self._packed[owner] = (sources, self._pack(owner, values))
        return kept[1]

    def _pack(self, owner: Owner, values: Mapping[str, Tensor]) -> Columns:
        names = self.names[owner]

        def rows(name: str) -> Tensor:
            ids = values[name]
            return torch.where(ids == PADDING, PADDING, ids + self.offsets[name])

        n = len(next(iter(values.values()))) if values else 0
        device = self.table.device
        single = [rows(name) for name in names["categorical"]]
        numbers = [values[name] for name in names["numeric"]]
        return Columns(
            torch.stack(single, 1) if single else torch.zeros(n, 0, dtype=torch.int64, device=device),
            tuple(rows(name) for name in names["multivalued"]),
            torch.stack(numbers, 1) if numbers else torch.zeros(n, 0, device=device),
        )
