"""All fields at once are what each field is by itself."""

import numpy as np
import polars as pl
import pytest
import torch

from palate.batches.impressions import ImpressionBatches
from palate.data.dataset import Dataset
from palate.data.schema import Schema
from palate.modules.field_slots import FieldSlots
from palate.modules.fields import FieldTables


@pytest.fixture
def made():
    items = pl.DataFrame(
        {"item": ["a", "b", "c"], "genre": ["x,y", "y", None], "kind": ["k", None, "l"], "price": [1.0, 3.0, None]}
    )
    users = pl.DataFrame({"user": ["u", "v"], "land": ["de", "fr"]})
    log = pl.DataFrame(
        {"user": ["u", "v", "u"], "item": ["a", "b", "c"], "label": [1, 0, 1], "time": [1, 2, 3], "hour": [3, 4, 3],
         "part": [0, 0, 0]}
    )  # fmt: skip
    columns = {"item": "id", "genre": "attributes", "kind": "attributes", "price": "attributes"}
    data = Dataset.from_frames(
        items, log, users, columns=columns, roles={"context": ["hour"]}, positive={"label": ">=1"}, name="tiny"
    )
    view = data.select_view()
    schema = Schema.fit(view)
    tables = FieldTables(schema)
    tables.load(view.users_table, view.items_table)
    slots = FieldSlots(tables, [one.name for one in schema if one.kind != "sequence"], 3)
    return view, schema, tables, slots


def test_each_slot_is_its_field(made):
    view, schema, tables, slots = made
    batch = ImpressionBatches(view, schema).collate(np.arange(3), np.random.default_rng(0))
    out = slots(batch)
    assert out.shape == (3, len(slots.order), 3)
    numeric = [name for kinds in slots.names.values() for name in kinds["numeric"]]
    for place, name in enumerate(slots.order):
        values = tables.of(name, batch)
        if name in numeric:
            expected = values[:, None] * slots.directions[numeric.index(name)]
        else:
            ids = values.reshape(3, -1)
            found = slots.table[torch.where(ids == 0, 0, ids + slots.offsets[name])]
            expected = found.sum(1) / (ids != 0).sum(1, keepdim=True).clamp(min=1)
        torch.testing.assert_close(out[:, place], expected)


def test_fields_share_no_row_and_padding_stays_zero(made):
    view, schema, _, slots = made
    used = [range(slots.offsets[name] + 1, slots.offsets[name] + schema[name].size) for name in slots.offsets]
    rows = [row for one in used for row in one]
    assert sorted(rows) == list(range(1, len(slots.table)))
    batch = ImpressionBatches(view, schema).collate(np.arange(3), np.random.default_rng(0))
    slots(batch).sum().backward()
    assert slots.table.grad[0].abs().sum() == 0 and slots.table[0].abs().sum() == 0


def test_an_unknown_entity_has_no_columns_and_new_items_are_found(made):
    _, _, tables, slots = made
    unknown = slots.entities("item", torch.tensor([[-1]]))
    names = [name for kind in slots.names["item"].values() for name in kind]
    assert unknown.shape == (1, 1, len(names), 3)
    for place, name in enumerate(names):
        expected = slots.table[slots.offsets[name] + 1] if name == "item" else torch.zeros(3)
        torch.testing.assert_close(unknown[0, 0, place], expected)
    tables.grow(5)
    torch.testing.assert_close(slots.entities("item", torch.tensor([4]))[0], unknown[0, 0])
