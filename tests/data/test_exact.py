"""Casts and new rows lose nothing."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.exact import exact_cast
from palate.data.ids import IdMap
from palate.data.readers.mmrec import MMRecLayout

LOSSES = [
    ([12, 12.99], pl.Int64, 2), ([1, 2], pl.Boolean, 1), ([2**53 + 1], pl.Float64, 1), (["1", "x"], pl.Int64, 2),
    (["07"], pl.Int64, 1), (["12.5"], pl.Int64, 1), ([300], pl.Int8, 1), ([True], pl.Int64, 1), (["1"], pl.Boolean, 1),
    ([0.1], pl.Float32, 1), ([float("nan")], pl.Int64, 1),
]  # fmt: skip


@pytest.mark.parametrize(("values", "dtype", "row"), LOSSES)
def test_losses_are_refused(values, dtype, row):
    with pytest.raises(DataError) as caught:
        exact_cast(pl.Series("price", values, strict=False), dtype())
    assert caught.value.column == "price" and caught.value.row in (row, None)


@pytest.mark.parametrize(("values", "dtype", "cast"), [
    ([1.0, None, 3.0], pl.Int64, [1, None, 3]), ([1, 2], pl.Float64, [1.0, 2.0]), (["1", " 2 "], pl.Int64, [1, 2]),
    (["true", None], pl.Boolean, [True, None]), (["1.50"], pl.Float64, [1.5]), ([7], pl.String, ["7"]),
])  # fmt: skip
def test_what_fits_is_cast(values, dtype, cast):
    assert exact_cast(pl.Series(values), dtype()).to_list() == cast


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False)), max_size=5),
       st.sampled_from([pl.Int64, pl.Int8, pl.Float64, pl.Float32]))  # fmt: skip
def test_a_cast_value_equals_the_given_one(values, dtype):
    kind = pl.Float64 if any(isinstance(value, float) for value in values) else pl.Int64
    if kind == pl.Float64:
        values = [None if value is None else float(value) for value in values]
    column = pl.Series("v", values, kind)
    try:
        cast = exact_cast(column, dtype())
    except DataError:
        return
    assert cast.to_list() == column.to_list()


def catalogue(**columns):
    frame = pl.DataFrame({"id": ["a", "b"], **columns})
    return Catalog(frame, IdMap(frame["id"]), dict.fromkeys(columns, "attributes"))


def test_a_fraction_widens_the_column():
    grown = catalogue(price=[10, 12]).append(pl.DataFrame({"id": ["c"], "price": [12.99]}), "id")
    assert grown.frame["price"].to_list() == [10.0, 12.0, 12.99]


def test_an_empty_column_takes_the_type_of_new_values():
    grown = catalogue(brand=pl.Series([None, None])).append(pl.DataFrame({"id": ["c"], "brand": ["ACME"]}), "id")
    assert grown.frame["brand"].to_list() == [None, None, "ACME"]


def test_a_number_is_no_boolean():
    with pytest.raises(DataError, match="is not Boolean") as caught:
        catalogue(stock=[True, False]).append(pl.DataFrame({"id": ["c"], "stock": [2]}), "id")
    assert caught.value.column == "stock" and caught.value.row == 1


def test_new_ids_keep_their_spelling():
    items = catalogue(title=["x y", "z w"])
    assert items.append(pl.DataFrame({"id": ["031"], "title": ["n"]}), "id").ids.ids.to_list() == ["a", "b", "031"]
    numbers = Catalog(pl.DataFrame({"id": [1, 2]}), IdMap(pl.Series([1, 2])))
    assert numbers.append(pl.DataFrame({"id": ["3"]}), "id").ids.ids.to_list() == [1, 2, 3]
    with pytest.raises(DataError, match="'031' is text"):
        numbers.append(pl.DataFrame({"id": ["031"]}), "id")
    with pytest.raises(DataError, match="exists already"):
        numbers.append(pl.DataFrame({"id": [2.0]}), "id")


def test_mmrec_ids_are_not_cut(tmp_path):
    (tmp_path / "x.inter").write_text("userID\titemID\tx_label\n0\t1\t0\n0\t3.7\t2\n")
    with pytest.raises(DataError, match=r"3\.7") as caught:
        MMRecLayout().read(tmp_path, {})
    assert caught.value.row == 2 and caught.value.column == "itemID"
