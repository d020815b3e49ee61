"""QueryLog: from the log or a table of their own, with words or ids; training sees those behind its positives."""

import numpy as np
import polars as pl
import pytest

import palate
from palate.core.errors import DataError
from palate.data.check import check
from palate.data.load import write
from palate.simulation.world import World

ITEMS = pl.DataFrame({"item": ["a", "b", "c"], "title": ["a red lamp", "a blue lamp", "a big chair"]})
LOG = {"user": ["u", "u", "v", "w"], "item": ["a", "b", "a", "c"], "timestamp": [10, 20, 30, 40]}
COLUMNS = {"item": "id", "title": "text"}


def build(log=LOG, **settings):
    return palate.Dataset.from_frames(ITEMS, pl.DataFrame(log), columns=COLUMNS, **settings)


def triples(searches):
    words = searches.queries.raw("text")
    return [(words[q], int(u), int(i)) for q, u, i in zip(searches.query, searches.users, searches.items)]


def test_the_log_says_what_was_typed():
    data = build({**LOG, "query": ["red", None, "red ", ""]})
    assert triples(data.searches) == [("red", 0, 0), ("red", 1, 0)] and data.searches.times.tolist() == [10, 30]
    assert build().searches is None and build().hash != data.hash


def test_ids_need_a_table_of_words():
    log = {**LOG, "query_id": [7, None, 7, 8]}
    assert build(log).searches is None
    queries = pl.DataFrame({"query_id": [8, 7], "words": ["chairs", "red"]})
    assert triples(build(log, queries=queries).searches) == [("red", 0, 0), ("red", 1, 0), ("chairs", 2, 2)]
    with pytest.raises(DataError, match="no text"):
        build(log, queries=queries.select("query_id"))
    with pytest.raises(DataError, match="query id"):
        build(log, queries=queries.head(1))


def test_training_hears_what_led_to_its_positives_and_came_before_their_end():
    searches = pl.DataFrame(
        {"user": ["u", "v", "w", "u"], "item": ["a", "a", "c", "a"], "query": ["red", "red", "chair", "red again"]}
    ).with_columns(timestamp=pl.Series([9, 29, 39, 90]))
    data = build({**LOG, "part": ["train", "train", "train", "test"]}, searches=searches)
    assert len(data.searches) == 4
    assert triples(data.select_view().searches) == [("red", 0, 0), ("red", 1, 0)]
    with pytest.raises(DataError, match="query"):
        build(searches=searches.drop("query"))


def test_the_simulated_shop_keeps_its_searches(tmp_path):
    world = World.make("shop", seed=3, n_items=48, n_users=30, searches=0.5, audio_seconds=0.25, image_size=64)
    data = palate.load(world.write(tmp_path / "shop"))
    assert len(data.searches) == len(world.searches.unique())
    assert set(data.searches.queries.raw("text")) == set(world.searches["query"])
    view = data.select_view()
    pairs = set(zip(view.users.tolist(), view.items.tolist()))
    assert 0 < len(view.searches) < len(data.searches) and view.searches.times.max() <= view.times.max()
    assert set(zip(view.searches.users.tolist(), view.searches.items.tolist())) <= pairs
    write(data, tmp_path / "again", "folder")
    again = palate.load(tmp_path / "again").searches
    assert triples(again) == triples(data.searches) and np.array_equal(again.times, data.searches.times)


def test_a_query_that_no_table_has_is_named_by_file_and_row(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,a red lamp\nb,a blue lamp\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\nv,b\n")
    (tmp_path / "queries.csv").write_text("id,text\n01,red\n")
    (tmp_path / "searches.csv").write_text("user_id,item_id,q,query\nu,a,,01\nv,b,,099\n")
    with pytest.raises(DataError) as caught:
        palate.load(tmp_path)
    assert (caught.value.file, caught.value.row) == (str(tmp_path / "searches.csv"), 2)
    assert caught.value.column == "query" and caught.value.key == "099" and "queries.csv" in caught.value.hint


def test_searches_of_unknown_items_are_left_out_and_the_row_counts_them(tmp_path):
    (tmp_path / "items.csv").write_text("item_id,title\na,a red lamp\nb,a blue lamp\n")
    (tmp_path / "interactions.csv").write_text("user_id,item_id\nu,a\nv,b\n")
    (tmp_path / "searches.csv").write_text("user_id,item_id,query\nu,zz,red\nv,b,blue\n")
    with pytest.warns(UserWarning, match="1 of 2 searches left out"):
        data = palate.load(tmp_path)
    (issue,) = check(data).find("unknown_id")
    assert issue.rows == (1,) and issue.key == "zz" and issue.file.endswith("searches.csv") and len(data.searches) == 1
    (tmp_path / "queries.csv").write_text("id,text\nred,red\n")
    with pytest.warns(UserWarning), pytest.raises(DataError, match="a query id") as caught:
        palate.load(tmp_path)
    assert caught.value.row == 2
