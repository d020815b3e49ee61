"""Imputation: by hand, against a planted signal, what it may not read or touch, saved and restored."""

import numpy as np
import pytest

from palate.core.content import Features, modality_dropout_mask
from palate.core.errors import DataError
from palate.features.impute import Imputer

SOURCES = {"text": ("text",), "image": ("image",), "words": ("text",), "both": ("text", "image")}
KINDS = ("ridge", "mlp", "infonce")


def world(n=400, seed=0, noise=0.1):
    """Two modalities and a column of the first, all linear in three hidden factors; a feature made of both."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(n, 3))
    maps = np.random.default_rng(99)
    made = {name: hidden @ maps.normal(size=(3, width)) for name, width in (("text", 8), ("image", 6), ("both", 5))}
    made = {name: values + noise * rng.normal(size=values.shape) + 4 for name, values in made.items()}
    words = np.maximum(hidden @ maps.normal(size=(3, 40)) - 3, 0)
    made["words"] = words
    return {name: Features(made[name].astype(np.float32), np.ones(n, bool)) for name in SOURCES}


def lacking(content, modality, rows):
    """``content`` in which ``rows`` came without ``modality``."""
    n = len(content["text"])
    keep = ~np.isin(np.arange(n), rows)
    return {name: found.mask_rows(keep) if modality in SOURCES[name] else found for name, found in content.items()}


@pytest.fixture(scope="module", params=KINDS)
def fitted(request):
    return Imputer(request.param, SOURCES).fit(world())


def test_ridge_by_hand():
    x = np.array([[-1.0], [1.0], [-2.0], [2.0], [0.0]], np.float32)
    sources = {"text": ("text",), "image": ("image",)}
    content = {"text": Features(x, np.ones(5, bool)), "image": Features(3 * x + 5, np.ones(5, bool))}
    imputer = Imputer("ridge", sources).fit(content)
    ridge = imputer._predictor.ridge
    asked = {"text": content["text"], "image": content["image"].mask_rows(np.arange(5) != 3)}
    found = imputer(asked)["image"]
    # both have variance 1 in the common space and covariance 1 there; 2 is its own z times the deviation
    assert found.values[3, 0] == pytest.approx(5 + 3 * 2 / (1 + ridge), rel=1e-4)
    assert found.present.all()


def test_predictions_beat_the_mean(fitted):
    whole, rows = world(seed=1), np.arange(0, 400, 2)
    found = fitted(lacking(whole, "image", rows))["image"]
    truth = whole["image"].values[rows]
    error = np.square(found.values[rows] - truth).sum() / np.square(truth - truth.mean(0)).sum()
    assert error < 0.3, error


def test_present_content_is_untouched_and_items_without_any_stay_absent(fitted):
    whole = lacking(lacking(world(seed=1), "image", [1, 2]), "text", [2, 3])
    found = fitted(whole)
    for name, one in whole.items():
        assert np.array_equal(found[name].values[one.present], one.values[one.present])
        assert not found[name].present[2], "nothing is known of this item"
    assert found["image"].present[1] and found["text"].present[3] and found["words"].present[3]
    assert found["both"].present[[1, 3]].all()
    full = world()
    assert all(found is full[name] for name, found in fitted(full).items()), "without gaps nothing is copied"


def test_an_empty_column_of_a_present_modality_is_not_a_gap(fitted):
    whole = world(seed=1)
    whole["words"] = whole["words"].mask_rows(np.arange(400) != 7)
    assert not fitted(lacking(whole, "image", [9]))["words"].present[7]


def test_values_of_absent_rows_are_not_read(fitted):
    clean = lacking(world(seed=1), "image", [5])
    dirty = dict(clean)
    for name in ("image", "both"):
        values = clean[name].values.copy()
        values[5] = 1e6
        dirty[name] = Features(values, clean[name].present)
    assert np.array_equal(fitted(clean)["image"].values[5], fitted(dirty)["image"].values[5])


def test_a_prediction_depends_on_its_own_item_alone(fitted):
    whole = world(seed=1)
    alone = fitted({n: f.take(np.array([5])) for n, f in lacking(whole, "image", [5]).items()})["image"].values[0]
    together = fitted(lacking(whole, "image", np.arange(50)))["image"].values[5]
    np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-4)


def test_fitting_is_reproducible_and_the_state_restores_it(fitted):
    asked = lacking(world(seed=1), "text", np.arange(40))
    again = Imputer(fitted.kind, SOURCES).fit(world())
    tensors, facts = fitted.state()
    restored = Imputer.from_state(tensors, facts)
    for name, found in fitted(asked).items():
        assert np.array_equal(again(asked)[name].values, found.values)
        assert np.array_equal(restored(asked)[name].values, found.values)


def test_sparse_vectors_are_predicted_sparse(fitted):
    whole = world(seed=1)
    share = (whole["words"].values != 0).mean()
    found = fitted(lacking(whole, "text", np.arange(100)))["words"].values[:100]
    assert (found >= 0).all() and (found != 0).mean() <= share + 0.05


def test_it_learns_from_items_with_gaps():
    whole = lacking(lacking(world(), "image", np.arange(0, 150)), "text", np.arange(150, 250))
    asked = world(seed=1)
    found = Imputer("ridge", SOURCES).fit(whole)(lacking(asked, "image", np.arange(400)))["image"].values
    truth = asked["image"].values
    assert np.square(found - truth).sum() < 0.3 * np.square(truth - truth.mean(0)).sum()


@pytest.mark.parametrize("kind", KINDS)
def test_a_modality_without_any_item_is_not_predicted(kind):
    imputer = Imputer(kind, SOURCES).fit(lacking(world(), "image", np.arange(400)))
    found = imputer(lacking(world(seed=1), "image", [5]))
    assert not found["image"].present[5] and not found["both"].present[5]


def test_a_missing_feature_is_named_in_the_error(fitted):
    content = world()
    del content["words"]
    with pytest.raises(DataError, match="is missing"):
        fitted(content)


def test_the_last_modality_is_kept_and_losses_only_grow():
    rng = np.random.default_rng(0)
    draws, present = rng.random((3, 500)), rng.random((3, 500)) < 0.7
    low, high = (modality_dropout_mask(draws, present, rate) for rate in (0.3, 0.9))
    assert not (high & ~low).any() and not (low & ~present).any()
    assert np.array_equal(high.any(0), present.any(0))
    assert np.array_equal(modality_dropout_mask(draws, present, 0.0), present)
    assert (modality_dropout_mask(draws, present, 1.0).sum(0) == present.any(0)).all()
    free = draws.copy()
    free[0] = 1.0
    assert np.array_equal(modality_dropout_mask(free, present, 1.0)[0], present[0])
