"""What a user met without liking it is not recommended; a user without positives gets popular items."""

import warnings

import numpy as np
import polars as pl
import pytest
from PIL import Image

import palate
from palate.evaluation.runs import run_add
from palate.training.erase import erase_user

ITEMS = pl.DataFrame({"item_id": list("abcdef"), "title": [f"the quick brown {row}" for row in range(6)]})
LOG = pl.DataFrame(
    [(f"u{user}", item, 1 if user == 0 else 5) for user in range(6) for item in "abcd"]
    + [*((f"u{user}", "e", 5) for user in range(2, 6)), ("u1", "e", 2)],
    schema=["user_id", "item_id", "rating"],
    orient="row",
)


def fitted(log=LOG, positive=None):
    data = palate.Dataset.from_frames(ITEMS, log, positive=positive or {"rating": ">=4"})
    return palate.models.ItemKNN().fit(data)


def test_what_was_rated_low_is_not_offered_again():
    model = fitted()
    assert model.recommend("u0", 6)["item"].to_list() == ["e", "f"]
    assert "e" not in model.recommend("u1", 6)["item"].to_list()
    assert "e" in model.recommend("u1", 6, filter_seen=False)["item"].to_list()


def test_a_user_without_positives_gets_popular_items_without_being_unknown():
    scores = fitted().recommend(["u0", "u2"], 6, filter_seen=False).filter(pl.col("user") == "u0")
    assert set(scores["item"].to_list()[:4]) == set("abcd") and scores["score"].to_list()[0] == 5


def test_it_is_kept_in_the_run_and_erased_with_the_user(tmp_path):
    run = fitted().save(tmp_path / "run")
    assert palate.restore(run).recommend("u0", 6)["item"].to_list() == ["e", "f"]
    assert erase_user(run, "u0")
    assert palate.restore(run).deployment.also_seen.lengths.tolist() == [0, 1, 0, 0, 0, 0]


def test_what_was_only_shown_is_not_seen():
    log = LOG.with_columns(impression=pl.when(pl.col("rating") < 4).then(1))
    assert fitted(log).deployment.also_seen is None


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "shop"
    (folder / "pics").mkdir(parents=True)
    for row in range(12):
        pixels = np.full((8, 8, 3), 20 * row, np.uint8)
        Image.fromarray(pixels).save(folder / "pics" / f"{row}.png")
    rows = [f"i{row},a thing {row},pics\\{row if row else 'none'}.png\n" for row in range(12)]
    (folder / "items.csv").write_text("item_id,title,image\n" + "".join(rows))
    log = [f"u{user},i{(user + step) % 12}\n" for user in range(12) for step in range(4)]
    (folder / "interactions.csv").write_text("user_id,item_id\n" + "".join(log))
    return folder


def test_pictures_of_new_items_that_were_not_found_are_said(pictures, tmp_path, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        data = palate.load(pictures)
    model = palate.models.ContentKNN().fit(data)
    assert [failure.row for name, failure in model.deployment.content.failures if name == "image"] == [0]
    run = model.save(tmp_path / "run")
    (tmp_path / "new.csv").write_text(
        "item_id,title,image\nn1,a thing,pics/1.png\nn2,a thing,pics/no.png\nn3,a thing,https://x/y.png\n"
    )
    caplog.clear()
    assert run_add(run, tmp_path / "new.csv") == 3
    said = caplog.text
    assert "row 2, no such file" in said and "row 3 of image is an address, https://x/y.png" in said
