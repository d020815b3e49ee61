"""Missing modalities: dropout in training and imputation, as settings of every model that reads content."""

from __future__ import annotations

import numpy as np
import pytest
from cases import Case, check, people, same_state, scores, seen_scores, small, trained
from checks_axes import adapted, reads, tunes
from pydantic import ValidationError
from tiny_world import BLANK, N_ITEMS, NO_AUDIO, NO_IMAGE, arrivals

import palate
from palate.core.config import ContentConfig
from palate.core.errors import ConfigError
from palate.features.impute import Kind
from palate.features.trainable import FUSED

KINDS: tuple[Kind, ...] = ("ridge", "mlp", "infonce")
CLOSE = {"rtol": 1e-4, "atol": 1e-5}
ENCODED = (("lora:2", "late"), ("frozen", "intermediate"), ("lora:2", "early"))


@check()
def gaps_have_settings_exactly_where_content_is_read(case: Case) -> None:
    assert issubclass(case.kind.Config, ContentConfig) == case.kind.capabilities.content


@check(reads)
def dropout_is_a_share_and_imputation_a_known_kind(case: Case) -> None:
    for wrong in ({"modality_dropout": 1.0}, {"modality_dropout": -0.1}, {"impute": "guess"}):
        with pytest.raises((ConfigError, ValidationError)):
            case.new(**wrong)


@check(reads)
def dropout_in_training_is_reproducible_and_survives_saving(case: Case) -> None:
    first, second = (case.fit(modality_dropout=0.5) for _ in range(2))
    assert same_state(first, second)
    known = first.scorer().scorable()
    assert known[case.fitted().scorer().scorable()].all() and not known[BLANK]
    found = seen_scores(first, case.data())
    assert np.isfinite(found[:, known]).all()
    again = palate.restore(first.save(case.folder / "run-dropout"))
    np.testing.assert_allclose(seen_scores(again, case.data())[:, known], found[:, known], **CLOSE)


@check(lambda kind: reads(kind) and trained(kind))
def dropout_changes_what_is_learned(case: Case) -> None:
    settings = {"modal_weight": 1.0} if "modal_weight" in case.kind.Config.model_fields else {}
    assert not same_state(case.fit(**settings), case.fit(modality_dropout=0.5, **settings))


@check(reads)
def dropout_leaves_content_whole_once_training_is_over(case: Case) -> None:
    model = case.fit("item_cold", modality_dropout=0.5)
    users = people(case.data("item_cold"))
    before = scores(model.scorer(), users)
    model.update_items(model.deployment.content.model_features(model.deployment.features))
    np.testing.assert_allclose(scores(model.scorer(), users), before, **CLOSE)


@check(reads)
def imputation_fills_gaps_and_is_saved_with_the_run(case: Case) -> None:
    model = case.fit(impute="ridge")
    handed = model.deployment.content.model_features(model.deployment.features)
    for name, gaps in (("image", NO_IMAGE), ("audio", NO_AUDIO)):
        filled = handed[name].present & ~model.deployment.features[name].present
        assert set(np.flatnonzero(filled)) == set(gaps) - {3, BLANK}, "3 and the blank have neither"
        assert np.isfinite(handed[name].values).all() and handed[name].values[filled].any(1).all()
    assert not model.scorer().scorable()[BLANK]
    found, known = seen_scores(model, case.data()), model.scorer().scorable()
    again = palate.restore(model.save(case.folder / "run-imputed"))
    assert np.array_equal(
        again.deployment.content.model_features(again.deployment.features)["image"].values, handed["image"].values
    )
    np.testing.assert_allclose(seen_scores(again, case.data())[:, known], found[:, known], **CLOSE)


@check(reads)
def imputation_sees_no_content_of_cold_items(case: Case) -> None:
    data, other = case.data("item_cold"), case.data("item_cold_changed")
    warm = ~data.split.test_candidates
    first, second = (case.fit(one, impute="ridge") for one in (data, other))
    assert np.array_equal(seen_scores(first, data)[:, warm], seen_scores(second, other)[:, warm])


@check(lambda kind: reads(kind) and "members" not in small(kind))
def every_kind_of_imputation_is_reproducible(case: Case) -> None:
    for kind in KINDS[1:]:
        first, second = (case.fit(impute=kind) for _ in range(2))
        assert same_state(first, second)
        assert np.array_equal(seen_scores(first, case.data()), seen_scores(second, case.data()))


@check(lambda kind: kind.capabilities.new_items)
def new_items_with_gaps_are_imputed(case: Case) -> None:
    model = case.fit("described", impute="ridge")
    model.add_items(arrivals())
    handed = model.deployment.content.model_features(model.deployment.features)
    assert not model.deployment.features["image"].present[N_ITEMS:].any(), "they came without a picture"
    assert handed["image"].present[N_ITEMS:].tolist() == [True, False], "of the blank one nothing is predicted"
    assert model.scorer().scorable()[N_ITEMS:].tolist() == [True, False]
    found = model.recommend(["u00"], k=N_ITEMS + 2)
    assert "new-full" in set(found["item"]) and found["score"].is_finite().all()


@check(tunes)
def dropout_reaches_content_that_is_trained(case: Case) -> None:
    for place, (tuning, fusion) in enumerate(ENCODED):
        whole, first, second = (adapted(case, tuning, fusion, modality_dropout=rate) for rate in (0.0, 0.5, 0.5))
        assert same_state(first, second) and not same_state(first, whole), (tuning, fusion)
        a, b = first.deployment.content, second.deployment.content
        assert a.trained.identity == b.trained.identity != whole.deployment.content.trained.identity
        known, found = first.scorer().scorable(), seen_scores(first, case.data("described"))
        assert np.array_equal(known, whole.scorer().scorable()) and np.isfinite(found[:, known]).all()
        again = palate.restore(first.save(case.folder / f"run-dropout-axes-{place}"))
        assert np.array_equal(seen_scores(again, case.data("described")), found)


@check(tunes)
def vectors_that_training_would_change_are_not_imputed(case: Case) -> None:
    for axes in ({"tuning": "full"}, {"tuning": "lora:2", "fusion": "intermediate"}, {"fusion": "early"}):
        with pytest.raises(ConfigError, match="impute with"):
            case.new(impute="ridge", **axes)


@check(tunes)
def gaps_are_filled_before_modalities_meet(case: Case) -> None:
    settings = {"fusion": "intermediate", "fused_dim": 8, "epochs": 0}
    plain, filled = (case.fit("described", impute=kind, **settings) for kind in ("none", "ridge"))
    before, after = (model.deployment.features[FUSED] for model in (plain, filled))
    gaps = np.isin(np.arange(N_ITEMS), [*NO_IMAGE, *NO_AUDIO])
    differs = np.abs(before.values - after.values).max(1) > 1e-4
    assert differs[gaps & before.present].any() and not differs[~gaps].any()
    assert np.array_equal(before.present, after.present), "of the blank one nothing is predicted"
    again = palate.restore(filled.save(case.folder / "run-imputed-met"))
    for model in (filled, again):
        model.add_items(arrivals())
        assert model.scorer().scorable()[N_ITEMS:].tolist() == [True, False]
    a, b = (
        model.deployment.content.model_features(model.deployment.features)[FUSED].values for model in (filled, again)
    )
    assert np.array_equal(a, b)
    lean = plain.deployment.content.encode(filled.deployment.items, np.array([N_ITEMS]))[FUSED].values
    assert not np.allclose(a[N_ITEMS], lean[0], atol=1e-4), "its picture was filled as well"
