"""Groups of items by an attribute column."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from palate.core.errors import ConfigError
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.features.item_groups import ItemGroups, attribute_numbers, only_column


def catalog(**columns):
    frame = pl.DataFrame({"item": ["a", "b", "c"], **columns})
    return Catalog(frame, IdMap(frame["item"], "item"), kinds=dict.fromkeys(columns, "attributes"))


def test_lists_texts_and_numbers_are_groups():
    genres = ItemGroups.from_catalog(catalog(genres=[["War", "Drama"], None, ["drama"]]), "genres")
    assert genres.names == ("drama", "war") and genres.codes.tolist() == [[1, 0], [2, 2], [0, 2]]
    assert genres.shares.tolist() == [[0.5, 0.5], [0, 0], [1, 0], [0, 0]]
    assert genres.group("war") == 1 and len(genres) == 2
    with pytest.raises(ConfigError, match="drama"):
        genres.group("dramas")
    written = ItemGroups.from_catalog(catalog(genres=["War|Drama", "", "Drama"]), "genres")
    assert written.codes.tolist() == genres.codes.tolist()
    years = ItemGroups.from_catalog(catalog(year=[1999, None, 1999]), "year")
    assert years.names == ("1999",) and years.codes.tolist() == [[0], [1], [0]]


def test_items_beyond_the_catalogue_have_no_group():
    groups = ItemGroups.from_catalog(catalog(genre=["x", "y", None]), "genre")
    assert groups.of(np.array([[0, 7], [1, 2]])).tolist() == [[[0], [2]], [[1], [2]]]
    assert groups.shares_of(np.array([1, 7])).tolist() == [[0, 1], [0, 0]]
    none = ItemGroups.from_catalog(catalog(genre=pl.Series([None, None, None], dtype=pl.String)), "genre")
    assert (
        len(none) == 0 and none.of(np.array([0, 5])).shape == (2, 0) and none.shares_of(np.array([0])).shape == (1, 0)
    )


def test_columns_are_named():
    items = catalog(genre=["x", "y", "z"], maker=["m", "m", "n"], price=[1.5, None, 2.0])
    with pytest.raises(ConfigError, match="several: genre, maker"):
        only_column(items, "", "column")
    assert only_column(items, "maker", "column") == "maker"
    assert only_column(catalog(genre=["x", "y", "z"], price=[1.5, 2.0, 3.0]), "", "column") == "genre"
    with pytest.raises(ConfigError, match="no such column"):
        ItemGroups.from_catalog(items, "makers")
    assert attribute_numbers(items, "price").tolist() == [1.5, 0, 2]
    with pytest.raises(ConfigError, match="no numbers"):
        attribute_numbers(items, "maker")
