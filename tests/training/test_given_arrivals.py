"""New items of a catalogue that came with ready vectors bring vectors of their own."""

import numpy as np
import polars as pl
import pytest

import palate
from palate.core.content import Features
from palate.core.errors import DataError, FeatureError

ITEMS = 60


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(ITEMS, 8)).astype(np.float32)
    items = pl.DataFrame({"item": [f"i{i}" for i in range(ITEMS)]})
    log = pl.DataFrame({"user": rng.integers(40, size=600), "item": rng.integers(ITEMS, size=600)})
    log = log.with_columns(user=pl.format("u{}", "user"), item=pl.format("i{}", "item")).unique(maintain_order=True)
    data = palate.Dataset.from_frames(items, log, features={"image": Features(vectors, np.ones(ITEMS, bool))})
    folder = tmp_path_factory.mktemp("given") / "run"
    palate.models.ContentKNN().fit(data).save(folder)
    return folder, vectors


def arrivals(n):
    return pl.DataFrame({"item": [f"new{i}" for i in range(n)]})


def test_a_copy_of_an_item_is_its_nearest_neighbour(run):
    folder, vectors = run
    model = palate.restore(folder).add_items(arrivals(2), {"image": vectors[[3, 7]]})
    assert model.similar_items("new0", k=1)["item"].to_list() == ["i3"]
    assert model.similar_items("i7", k=1)["item"].to_list() == ["new1"]


def test_a_row_can_be_absent_and_what_was_added_is_saved(run, tmp_path):
    folder, vectors = run
    given = Features(vectors[[3, 7]] * [[1], [0]], np.array([True, False]))
    palate.restore(folder).add_items(arrivals(2), {"image": given}).save(tmp_path / "again")
    model = palate.restore(tmp_path / "again")
    found = set(model.recommend("u1", k=ITEMS + 2)["item"])
    assert "new0" in found and "new1" not in found
    assert model.similar_items("new0", k=1)["item"].to_list() == ["i3"]


def test_vectors_that_do_not_fit_are_refused_and_nothing_changes(run):
    folder, vectors = run
    model = palate.restore(folder)
    broken = np.array([[np.nan, *[1.0] * 7]], np.float32)
    for features, error, says in (
        ({"image": vectors[:1, :5]}, DataError, r"\(1, 5\).*\(1, 8\)"),
        ({"image": vectors[:2]}, DataError, r"\(2, 8\)"),
        ({"image": broken}, FeatureError, "nan in given vectors"),
        ({"imege": vectors[:1]}, DataError, "image"),
    ):
        with pytest.raises(error, match=says):
            model.add_items(arrivals(1), features)
    assert len(model.deployment.items) == ITEMS
