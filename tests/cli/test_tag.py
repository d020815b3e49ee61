"""The command tag: items without a label get one, in a table or a copy of the data; keywords of users."""

import polars as pl
import pytest
from cli_shop import N_ITEMS, write_shop

import palate
from palate.core.errors import ArtefactError, ConfigError

FAST = ("--set", "epochs=8", "--set", "batch_size=8", "--set", "lr=0.1", "--encoder", "image=none", "--quiet")
LACKING = ("i2", "i9", "i16")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """The shop with three items that lack their brand."""
    folder = write_shop(tmp_path_factory.mktemp("tag") / "shop")
    table = pl.read_csv(folder / "items.csv")
    empty = pl.when(pl.col("item_id").is_in(list(LACKING))).then(None).otherwise(pl.col("brand"))
    table.with_columns(brand=empty).write_csv(folder / "items.csv")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def test_items_without_a_label_get_one_beside_the_data(bare, ask, call, tmp_path):
    before = {file: file.read_bytes() for file in bare.rglob("*") if file.is_file()}
    found = ask("tag", bare, "--column", "brand", "--out", tmp_path / "tags.csv", *FAST)
    assert found["column"] == "brand" and found["without a label"] == found["tagged"] == 3 and found["labels"] == 3
    right = dict(zip(LACKING, ("Floro", "Lumo", "Sedo")))
    assert {row["item_id"]: row["brand_predicted"] for row in found["tags"]} == {i: [b] for i, b in right.items()}
    assert all(0 < row["brand_probability"][0] <= 1 for row in found["tags"])
    table = pl.read_csv(tmp_path / "tags.csv")
    assert table.columns == ["item_id", "brand_predicted", "brand_probability"] and len(table) == 3
    copy = tmp_path / "copy"
    said = call("tag", bare, "--column", "brand", "--out", copy, *FAST)
    assert "3 of 24 items have no brand" in said and "lamp number9" in said and f"wrote {copy}" in said
    data = palate.load(copy)
    assert "brand_completed" in data.items.columns("attributes") and "brand" not in data.items.columns("attributes")
    assert data.items.frame["brand_completed"].null_count() == 0 and data.items.frame["brand"].null_count() == 3
    assert before == {file: file.read_bytes() for file in bare.rglob("*") if file.is_file()}
    with pytest.raises(ArtefactError, match="lies in the data"):
        call("tag", bare, "--column", "brand", "--out", bare / "tags.csv", *FAST)
    with pytest.raises(ConfigError, match="exists"):
        call("tag", bare, "--column", "brand", "--out", tmp_path / "tags.csv", *FAST)


def test_a_fitted_tagger_tags_again(bare, ask, call, tmp_path):
    run, fast = tmp_path / "run", [part for part in FAST if part != "--quiet"]
    ask("fit", bare, "--model", "content_tagger", "--split", "item_cold", "--set", "column=brand", *fast, "--out", run)
    found = ask("tag", bare, "--model", run, "--every")
    assert found["tagged"] == found["without a label"] == N_ITEMS
    assert ask("evaluate", run)["metrics"]["accuracy"] > 0.5
    with pytest.raises(ConfigError, match="has its settings"):
        call("tag", bare, "--model", run, "--column", "brand")
    with pytest.raises(ConfigError, match="does not tag"):
        call("tag", bare, "--model", "popularity")


def test_keywords_of_users_name_the_items_that_carry_them(bare, ask, call, tmp_path):
    found = ask("tag", bare, "--users", "--user", "u0", "-k", 3, "--quiet")["keywords"]
    assert found[0]["user"] == "u0" and found[0]["column"] == "brand" and found[0]["keyword"] == "Lumo"
    assert found[0]["items"] == len(found[0]["evidence"]) <= found[0]["history"] and found[0]["lift"] > 1
    said = call("tag", bare, "--users", "--out", tmp_path / "keywords.parquet", "--quiet")
    assert "keywords of" in said and pl.read_parquet(tmp_path / "keywords.parquet")["user"].n_unique() > 10
    with pytest.raises(ConfigError, match="--users"):
        call("tag", bare, "--user", "u0")
