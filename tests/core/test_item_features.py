"""Item features: copies that share what stays the same, and which rows changed."""

import numpy as np
import pytest

from palate.core import item_features
from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.core.item_features import ItemFeatures


def features(n: int, dim: int = 3, identity: str = "e", seed: int = 0, absent: tuple[int, ...] = ()) -> Features:
    rng = np.random.default_rng(seed)
    present = ~np.isin(np.arange(n), absent)
    values = np.where(present[:, None], rng.normal(size=(n, dim)), 0).astype(np.float32)
    return Features(values, present, identity=identity)


def catalogue(n: int = 6) -> ItemFeatures:
    return ItemFeatures(
        {"text": features(n), "image": features(n, 2, seed=1, absent=(1,)), "both": features(n, seed=2)},
        sources={"both": ("text", "image")},
    )


def test_a_catalogue_is_a_mapping_of_features_with_one_row_per_item():
    first = catalogue()
    assert list(first) == ["text", "image", "both"] and first.n_items == 6 and len(first) == 3
    assert first.sources == {"text": ("text",), "image": ("image",), "both": ("text", "image")}
    assert ItemFeatures({}, 4).n_items == 4 and ItemFeatures.of(first) is first
    assert ItemFeatures({"text.words": features(2)}).sources["text.words"] == ("text",)
    with pytest.raises(FeatureError, match="5 rows of vectors for 6 items"):
        first.replace({"text": features(5)})


def test_new_items_are_appended_and_are_all_that_changed():
    first = catalogue()
    longer = first.append({"text": features(2, seed=5), "both": features(2, seed=6)})
    assert longer.n_items == 8 and longer.sources == first.sources
    assert np.array_equal(longer["text"].values[:6], first["text"].values)
    assert not longer["image"].present[6:].any() and longer["text"].present[6:].all()
    assert longer.changed_since(first).tolist() == [6, 7]
    assert ItemFeatures(dict(longer)).changed_since(dict(first)).tolist() == [6, 7]
    with pytest.raises(FeatureError):
        first.append({"text": features(2, identity="another")})


def test_replaced_rows_are_all_that_changed_and_the_first_catalogue_stays():
    first = catalogue()
    before = first["text"].values.copy()
    other = first.with_rows(np.array([4, 1, 6]), {"text": features(3, seed=9)}, n_items=7)
    assert np.array_equal(first["text"].values, before)
    assert np.array_equal(other["text"].values[[4, 1, 6]], features(3, seed=9).values)
    assert not other["image"].present[[4, 1, 6]].any() and not other["image"].values[[4, 1, 6]].any()
    assert other.changed_since(first).tolist() == [1, 4, 6]
    assert other.select(["image"]).changed_since(first.select(["image"])).tolist() == [1, 4, 6]


def test_several_steps_add_up_and_need_no_comparison(monkeypatch):
    first = catalogue()
    step = first.with_rows(np.array([2]), {"text": features(1, seed=3)})
    last = step.append({"text": features(1, seed=4)}).without({"image": np.arange(7) == 0})
    monkeypatch.setattr(item_features, "_same_memory", lambda a, b: pytest.fail("vectors were compared"))
    assert last.changed_since(first).tolist() == [0, 2, 6]
    assert last.changed_since(step).tolist() == [0, 6]


def test_a_modality_that_is_missing_takes_every_feature_made_of_it():
    first = catalogue()
    gone = first.without({"image": np.array([1, 0, 0, 1, 0, 0], bool)})
    assert gone["text"] is first["text"]
    assert gone["image"].present.tolist() == [False, False, True, False, True, True]
    assert not gone["both"].present[[0, 3]].any() and not gone["both"].values[[0, 3]].any()
    assert gone.changed_since(first).tolist() == [0, 3]
    assert first.without({"audio": np.ones(6, bool)})["both"] is first["both"]


@pytest.mark.parametrize("size", [40, item_features.BLOCK * 2 + 5])
def test_unrelated_catalogues_are_compared_by_value_and_presence(size: int):
    first, second = catalogue(size), catalogue(size)
    assert not len(second.changed_since(first))
    second["text"].values[[3, size - 1], 1] += 1
    second["image"].present[5] = False
    again = ItemFeatures(dict(second) | {"both": features(size, seed=2), "text": second["text"].take(np.arange(size))})
    assert again.changed_since(catalogue(size)).tolist() == [3, 5, size - 1]


def test_arrays_that_share_memory_are_not_read():
    class Unreadable(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("read")

    values = np.zeros((4, 2), np.float32)
    old = Features(values[:3], np.ones(3, bool))
    new = Features(values.view(Unreadable), np.ones(4, bool))
    assert ItemFeatures({"text": new}).changed_since({"text": old}).tolist() == [3]


def test_everything_changed_where_features_cannot_be_compared():
    first = catalogue()
    everything = list(range(6))
    assert first.changed_since(first.select(["text"])).tolist() == everything
    assert first.changed_since(first.select(["image", "text", "both"])).tolist() == everything
    assert first.changed_since(first.replace({"text": features(6, identity="another")})).tolist() == everything
    assert first.changed_since(first.replace({"text": features(6, dim=4)})).tolist() == everything
    assert first.changed_since(first).tolist() == []


def test_fewer_items_are_no_change_of_those_that_stay():
    assert not len(catalogue(4).select(["text"]).changed_since({"text": features(4)}))
    longer = ItemFeatures({"text": features(4)}).append({"text": features(2, seed=1)})
    shorter = ItemFeatures({"text": longer["text"].take(np.arange(3))})
    assert not len(shorter.changed_since(longer))


def test_the_record_of_changes_keeps_no_catalogue_alive():
    import gc
    import weakref

    first = catalogue()
    text = weakref.ref(first["text"])
    later = first.with_rows(np.array([0]), {})
    del first
    gc.collect()
    assert text() is None and later.n_items == 6
