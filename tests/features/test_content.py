"""Content in three states: a plan that stays as it is, fitted content, and the features of one catalogue."""

import numpy as np
import polars as pl
import pytest

from palate.core.content import Features
from palate.core.errors import ConfigError
from palate.data.dataset import Dataset
from palate.data.relations import Edges, Relations
from palate.features.feature_spec import FeatureSpec
from palate.features.plan import ContentPlan, plan_content
from palate.features.saved_content import load_content, save_content
from palate.features.store import FeatureStore
from palate.features.trainable import FUSED

N = 20
WORDS = ("lamp", "chair", "table", "shelf")


def shop(split: str | None = None, relations: Relations | None = None) -> Dataset:
    """Twenty items with titles and colours and given pictures; item 3 has no picture, item 5 no title."""
    rng = np.random.default_rng(0)
    items = pl.DataFrame(
        {
            "item": [f"i{row}" for row in range(N)],
            "title": [None if row == 5 else f"{WORDS[row % 4]} number {row % 7}" for row in range(N)],
            "colour": [("red", "blue")[row % 2] for row in range(N)],
        }
    )
    log = pl.DataFrame({"user": [f"u{row % 6}" for row in range(60)], "item": [f"i{row % N}" for row in range(60)]})
    present = np.arange(N) != 3
    pictures = np.where(present[:, None], rng.normal(size=(N, 4)), 0).astype(np.float32)
    return Dataset.from_frames(
        items,
        log.unique(maintain_order=True).with_row_index("time"),
        columns={"item": "id", "title": "text", "colour": "attributes"},
        features={"image": Features(pictures, present, identity="given:pictures")},
        relations=relations,
        split=split,
    )


def plan_of(data: Dataset) -> ContentPlan:
    made = plan_content(data, {"text": "hash?dim=16", "attributes": "tfidf_attributes?min_df=1"})
    return ContentPlan(made.features, made.store, {"both": ("text", "hash?dim=16", ("title", "colour"))})


def later(data: Dataset):
    """The catalogue with two items more, of which the second has no picture."""
    rows = pl.DataFrame({"item": ["n0", "n1"], "title": ["lamp number 9", "chair"], "colour": ["red", None]})
    given = Features(np.ones((2, 4), np.float32), np.array([True, False]), identity="given:later")
    return data.items.append(rows, "item", {"image": given})


def test_a_plan_can_be_fitted_again_and_again():
    data = shop()
    plan = plan_of(data)
    first, again = (plan.fit(data.select_view(), data, fields=True)[1] for _ in range(2))
    assert list(first) == ["text", "image", "attributes", "both"] and first.n_items == N
    assert all(np.array_equal(first[name].values, again[name].values) for name in first)
    assert first.sources["both"] == ("text", "attributes") and first.sources["image"] == ("image",)
    assert not len(again.changed_since(first))
    assert plan.empty().fit(data.select_view(), data)[1].n_items == N
    with pytest.raises(ConfigError, match="unknown modality"):
        plan_content(data, {"texts": "hash"})


def test_an_encoder_that_exists_is_used_in_place_of_the_specification():
    data = shop()
    content, features = plan_of(data).fit(data.select_view(), data)
    encoder = content.encoders["text"]
    plan = ContentPlan({"text": FeatureSpec("text", "minilm")}, FeatureStore(None), encoders={"text": encoder})
    other, vectors = plan.fit(data.select_view(), data)
    assert other.encoders["text"] is encoder and np.array_equal(vectors["text"].values, features["text"].values)


def test_only_new_items_are_encoded_and_the_first_ones_stay(monkeypatch):
    data = shop()
    content, features = plan_of(data).fit(data.select_view(), data, fields=True)
    encoded: list[int] = []
    real = FeatureStore.encode
    monkeypatch.setattr(
        FeatureStore, "encode", lambda self, e, raws, **more: encoded.append(len(raws)) or real(self, e, raws, **more)
    )
    longer = content.append_items(features, later(data))
    assert encoded == [2, 2, 2] and longer.n_items == N + 2
    assert longer.changed_since(features).tolist() == [N, N + 1]
    assert longer["image"].present[N:].tolist() == [True, False] and longer["text"].present[N:].all()
    at_once = content.encode(later(data))
    assert all(np.array_equal(longer[name].values, at_once[name].values) for name in longer)


def test_rows_that_a_view_may_not_see_are_hidden_in_it_alone():
    data = shop("item_cold:seed=1,valid=0.2,test=0.2")
    view = data.select_view()
    content, features = plan_of(data).fit(view, data, fields=True)
    shown = content.training_view(view, features)
    hidden = ~view.visible_items
    assert hidden.any() and not shown.features["text"].present[hidden].any() and features["image"].present[hidden].any()
    assert list(shown.features) == ["text", "image", "attributes"] and list(shown.fields) == ["both"]
    assert shown.sources == content.sources


def test_missing_modalities_are_dropped_and_columns_that_are_left_are_encoded_again():
    data = shop()
    content, features = plan_of(data).fit(data.select_view(), data, fields=True)
    missing = {"text": np.arange(N) == 2, "attributes": np.arange(N) == 4}
    left = content.drop_modalities(features, data.items, missing)
    assert not left["text"].present[2] and not left["attributes"].present[4] and left["both"].present[[2, 4]].all()
    alone = content.encoders["both"].encode(data.items.raw("text", np.array([2]), ("colour",)))
    assert np.array_equal(left["both"].values[2], alone.values[0])
    assert np.array_equal(np.delete(left["both"].values, [2, 4], 0), np.delete(features["both"].values, [2, 4], 0))
    assert left["image"] is features["image"]


def neighbours() -> Relations:
    rows = np.arange(N)
    return Relations({"knn_audio": Edges(rows, (rows + 1) % N, np.ones(N, np.float32))})


def test_features_of_relations_are_kept_for_known_items_and_absent_for_others(tmp_path):
    data = shop(relations=neighbours())
    content, features = plan_of(data).fit(data.select_view(), data, dense=True)
    assert "audio" in features and features["audio"].present.any() and "audio" in content.main
    some = content.encode(data.items, np.array([4, 1]))
    assert np.array_equal(some["audio"].values, features["audio"].values[[4, 1]])
    assert not content.encode_new(data.items)["audio"].present.any()
    longer = content.append_items(features, later(data))
    assert not longer["audio"].present[N:].any() and longer.changed_since(features).tolist() == [N, N + 1]
    save_content(tmp_path / "encoders", content, features)
    again, same = load_content(tmp_path / "encoders")
    assert np.array_equal(again.encode(data.items)["audio"].values, same["audio"].values)


@pytest.mark.parametrize("fusion", ["late", "intermediate"])
def test_content_is_saved_with_its_features_and_encodes_the_same(tmp_path, fusion):
    data = shop()
    content, features = plan_of(data).fit(data.select_view(), data, impute="ridge")
    if fusion == "intermediate":
        from palate.core.tuning import parse_tuning

        trainable = content.trainable(features, data.items, parse_tuning("frozen"), "intermediate", 6)
        content, features = content.finalize(trainable)
        assert list(features) == [FUSED] and content.modality_features(features, data.items).n_items == N
    save_content(tmp_path / "encoders", content, features)
    again, same = load_content(tmp_path / "encoders", N)
    assert not len(same.changed_since(features))
    given, restored = content.model_features(features), again.model_features(same)
    assert all(np.array_equal(given[name].values, restored[name].values) for name in given)
    if fusion == "late":
        assert given["image"].present[3] and not features["image"].present[3], "predicted for the model alone"
    a, b = content.append_items(features, later(data)), again.append_items(same, later(data))
    assert all(np.array_equal(a[name].values, b[name].values) for name in a)
    assert (tmp_path / "encoders" / "text" / "encoder.json").is_file()


def test_a_run_without_features_knows_how_many_items_it_has(tmp_path):
    data = shop()
    content, features = plan_of(data).empty().fit(data.select_view(), data)
    save_content(tmp_path / "encoders", content, features)
    again, same = load_content(tmp_path / "encoders", N)
    assert same.n_items == N and again.append_items(same, later(data)).n_items == N + 2
