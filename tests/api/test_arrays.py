"""Vectors of one's own: plain arrays wherever vectors are taken."""

import numpy as np
import polars as pl
import pytest

import palate
from palate.core.errors import DataError, FeatureError


def vectors(rows: int = 30) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, 6))


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, list])
def test_arrays_are_features_of_items(frames, kind):
    given = vectors().tolist() if kind is list else vectors().astype(kind)
    data = palate.Dataset.from_frames(*frames, features={"image": given}, split="leave_one_out")
    model = palate.models.VBPR(dim=4, epochs=1).fit(data)
    assert len(model.recommend("u1", k=3)) == 3
    model.add_items(pl.DataFrame({"item_id": ["new"]}), features={"image": np.ones((1, 6), np.float32)})
    assert "new" in model.recommend("u1", k=31)["item"].to_list()


def test_with_features_takes_arrays_too_and_gives_the_same_data(frames):
    data = palate.Dataset.from_frames(*frames, features={"image": vectors()})
    later = palate.Dataset.from_frames(*frames).with_features({"image": vectors()})
    wrapped = palate.Dataset.from_frames(*frames).with_features({"image": palate.Features(vectors())})
    assert data.hash == later.hash == wrapped.hash
    assert data.hash != palate.Dataset.from_frames(*frames, features={"image": vectors() + 1}).hash


def test_a_row_of_nan_is_an_item_without_vectors(frames):
    given = vectors()
    given[[3, 7]] = np.nan
    data = palate.Dataset.from_frames(*frames, features={"image": given})
    assert np.flatnonzero(~data.items.given["image"].present).tolist() == [3, 7]
    assert np.isfinite(data.items.given["image"].values).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_that_is_partly_not_finite_is_refused_by_row_and_column(frames, value):
    given = vectors()
    given[4, 2] = value
    for take in (
        lambda f: palate.Dataset.from_frames(*frames, features=f),
        palate.Dataset.from_frames(*frames).with_features,
    ):
        with pytest.raises(FeatureError, match=r"row 5, column '2'"):
            take({"image": given})


@pytest.mark.parametrize("given", [vectors(29), vectors()[:, 0], np.array([["a"] * 3] * 30)])
def test_what_is_no_matrix_of_all_items_is_refused(frames, given):
    with pytest.raises((DataError, FeatureError), match="image"):
        palate.Dataset.from_frames(*frames, features={"image": given})
