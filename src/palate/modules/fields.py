"""Fields of users, items and context as embeddings, looked up by row."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.batch import ImpressionBatch
from palate.data.catalog import Catalog
from palate.data.schema import OUT_OF_VOCABULARY, PADDING, Encoded, Schema


class FieldTables(nn.Module):
    """Encoded columns of all users and items, as buffers that are indexed by row.

    Args:
        schema: fitted on the training part.
    """

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        self.schema = schema
        self.names = [one.name for one in schema if one.kind != "sequence"]

    def load(self, users: Catalog, items: Catalog) -> None:
        """Encode both tables; values outside the vocabulary are known as such.

        Args:
            users: the users' own columns.
            items: the items' own columns.
        """
        self._keep(self.schema.encode_table("user", users))
        self.load_items(items)

    def load_items(self, items: Catalog) -> None:
        """Encode the items alone; the device stays.

        Args:
            items: the items' own columns.
        """
        self._keep(self.schema.encode_table("item", items))

    def _keep(self, encoded: Encoded) -> None:
        for name, values in encoded.items():
            slot = self._slot(name)
            before = self._buffers.get(slot)
            device = "cpu" if before is None else before.device
            self.register_buffer(slot, torch.from_numpy(np.ascontiguousarray(values)).to(device))

    def table(self, name: str) -> Tensor:
        """All rows of a user's or item's field, [n] or [n, width].

        Args:
            name: of the field.
        """
        return self.get_buffer(self._slot(name))

    def rows(self, name: str, rows: Tensor) -> Tensor:
        """A user's or item's field: [..., width] ids, [...] ids or numbers; -1 is an unknown entity.

        Args:
            name: of the field.
            rows: int64 [...].
        """
        table = self.get_buffer(self._slot(name))
        values = table[rows.clamp(min=0)]
        unknown = OUT_OF_VOCABULARY if not self.schema[name].column else PADDING
        mask = (rows < 0).reshape(*rows.shape, *[1] * (values.ndim - rows.ndim))
        return torch.where(mask, torch.full_like(values, unknown), values)

    def of(self, name: str, batch: ImpressionBatch) -> Tensor:
        """A field of each event of a batch.

        Args:
            name: of the field.
            batch: N events.
        """
        owner = self.schema[name].owner
        if owner == "context":
            return batch.fields[name]
        return self.rows(name, batch.users if owner == "user" else batch.items)

    def grow(self, n_items: int) -> None:
        """Append items of which nothing is known.

        Args:
            n_items: rows of the item tables afterwards.
        """
        for one in self.schema:
            if one.owner == "item" and one.kind != "sequence":
                slot = self._slot(one.name)
                table = self.get_buffer(slot)
                extra = n_items - len(table)
                if extra > 0:
                    fill = OUT_OF_VOCABULARY if not one.column else PADDING
                    more = table.new_full((extra, *table.shape[1:]), fill)
                    self.register_buffer(slot, torch.cat([table, more]))

    def _slot(self, name: str) -> str:
        return f"field_{self.names.index(name)}"


class FieldEmbedding(nn.Module):
    """An embedding of each field: a row of a table, the mean over several values, or a direction times a number.

    Args:
        sizes: field -> number of ids, 0 for a numeric field.
        dim: width of each embedding.
        std: standard deviation of what embeddings start from.
    """

    def __init__(self, sizes: dict[str, int], dim: int, std: float = 0.01) -> None:
        super().__init__()
        self.names = list(sizes)
        self.tables = nn.ParameterList(nn.Parameter(torch.randn(max(size, 1), dim) * std) for size in sizes.values())

    def forward(self, name: str, values: Tensor) -> Tensor:
        """Embeddings float32 [..., dim]; padding is zero.

        Args:
            name: of the field.
            values: int64 [...] ids, float32 [...] numbers; the last axis of several values is averaged if ``name`` was
                encoded so (then give ids [..., width] to :meth:`several`).
        """
        table = self.tables[self.names.index(name)]
        if values.is_floating_point():
            scaled: Tensor = values[..., None] * table[0]
            return scaled
        out: Tensor = F.embedding(values, table) * (values != PADDING)[..., None]
        return out

    def several(self, name: str, values: Tensor) -> Tensor:
        """Mean of the embeddings of several values, padding left out: int64 [..., width] -> float32 [..., dim].

        Args:
            name: of the field.
            values: ids padded with 0.
        """
        count = (values != PADDING).sum(-1, keepdim=True).clamp(min=1)
        out: Tensor = self(name, values).sum(-2) / count
        return out
