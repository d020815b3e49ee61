"""Ids come out of lists, exports and restored runs as they were spelled."""

import warnings

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import palate
from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.evaluation.export import export_model

NAMES = st.sampled_from(
    ["7", "07", "007", "+7", "7.0", "7e0", "70", "-7", "1e3", "1000", "9007199254740993", "é", "a b", "A7"]
)


def log_of(users, items):
    pairs = [(user, items[(at + step) % len(items)]) for at, user in enumerate(users) for step in range(2)]
    return pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")


@settings(max_examples=6, deadline=None)
@given(
    items=st.lists(NAMES, min_size=3, max_size=6, unique=True),
    users=st.lists(NAMES, min_size=2, max_size=4, unique=True),
)
def test_lists_hold_the_spellings_of_the_tables(items, users):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = Dataset.from_frames(
            pl.DataFrame({"item_id": items}), log_of(users, items), split="random:test=0,valid=0"
        )
        model = palate.models.ItemKNN().fit(data)
    lists = model.recommend(users=users, k=10, filter_seen=False)
    assert set(lists["user"]) == set(users) and set(lists["item"]) <= set(items)
    assert set(model.recommend(history=[items[0]], k=10)["item"]) <= set(items)
    with pytest.raises(DataError, match="unknown item id"):
        model.recommend(history=["8"])


@pytest.mark.parametrize("ids", [["7", "8", "9", "10"], [7, 8, 9, 10], ["007", "08", "9", "10"]])
def test_exported_and_restored_ids(tmp_path, ids):
    data = Dataset.from_frames(
        pl.DataFrame({"item_id": ids}), log_of(["01", "1", "2"], ids), split="random:test=0,valid=0"
    )
    model = palate.models.BPR(dim=4, epochs=1).fit(data)
    model.save(tmp_path / "run")
    again = palate.restore(tmp_path / "run")
    export_model(again, tmp_path / "out")
    assert pl.read_parquet(tmp_path / "out" / "items.parquet")["id"].to_list() == ids
    assert again.recommend(users=["1"], k=4, filter_seen=False)["user"].to_list() == ["1"] * 4
    assert set(again.recommend(users=["01"], k=4, filter_seen=False)["item"]) == set(ids)
