"""Labels of items out of columns as people write them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from palate.core.errors import ConfigError, DataError
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.features.labels import catalog_labels, item_labels, label_column


def lists(found) -> list[list[str]]:
    return [[found.names[at] for at in found.lists[row]] for row in range(len(found.lists))]


def test_texts_with_several_values_are_divided_and_spelled_as_usual():
    found = item_labels(pl.Series(["Drama, Comedy", "drama", None, "", " Sci-Fi | Smith, John", "Drama"]))
    assert found.names[0] == "Drama" and set(found.names) == {"Drama", "Comedy", "Sci-Fi", "Smith, John"}
    assert lists(found)[1:4] == [["Drama"], [], []] and set(lists(found)[4]) == {"Sci-Fi", "Smith, John"}
    assert found.labelled.tolist() == [0, 1, 4, 5] and found.counts[0] == 3


def test_lists_numbers_and_flags():
    assert lists(item_labels(pl.Series([["a, b", "A, B"], [], None, ["c"]]))) == [["a, b"], [], [], ["c"]]
    assert lists(item_labels(pl.Series([1990.0, None, 2001.0]))) == [["1990"], [], ["2001"]]
    assert lists(item_labels(pl.Series([True, False, True]))) == [["true"], ["false"], ["true"]]
    with pytest.raises(DataError, match="fractions"):
        item_labels(pl.Series("price", [1.5, 2.0]))
    assert item_labels(pl.Series([None, None], dtype=pl.String)).names == ()


def test_known_labels_keep_their_places():
    found = item_labels(pl.Series(["x", "Y", "z"]), known=["y", "w"])
    assert found.names[:2] == ("y", "w") and set(found.names[2:]) == {"x", "z"}
    assert found.matrix(np.array([1, 0]))[:, :2].tolist() == [[True, False], [False, False]]
    kept = found.take(np.array([found.names.index("z"), 0]))
    assert kept.names == ("z", "y") and lists(kept) == [[], ["y"], ["z"]]


def test_the_column_is_the_only_attribute_that_recurs():
    frame = pl.DataFrame(
        {
            "id": range(6),
            "genre": ["a", "b"] * 3,
            "price": [1.0, 2, 3, 4, 5, 6],
            "code": list("uvwxyz"),
            "rest": ["q"] * 6,
        }
    )
    kinds = dict.fromkeys(("genre", "price", "code"), "attributes")
    items = Catalog(frame, IdMap(frame["id"]), kinds)
    assert label_column(items, None) == "genre" and label_column(items, "rest") == "rest"
    with pytest.raises(ConfigError, match="genre"):
        label_column(items, "genr")
    several = Catalog(frame.with_columns(mood=pl.col("genre")), items.ids, {**kinds, "mood": "attributes"})
    with pytest.raises(ConfigError, match="genre, mood"):
        label_column(several, None)
    assert catalog_labels(items, "mood").labelled.tolist() == []


def test_a_catalogue_without_a_modality_has_none_of_it_in_every_row():
    items = Catalog.from_ids(pl.Series("item", ["a", "b", "c"]))
    assert items.raw("text") == [None] * 3 and items.raw("image", np.array([2, 0])) == [None] * 2
