"""Two axes of every content model: what of the encoders is trained with it, and where modalities meet."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from cases import Case, batch_for, check, same_state, seen_scores, small
from tiny_world import arrivals, variant

import palate
from palate.contracts import Matcher, Model, models
from palate.core.config import AdaptedConfig, ContentConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.seeding import seed_torch
from palate.core.tuning import FUSIONS, TuningSpec, parse_tuning
from palate.features.encoders.pieces import WordPiece
from palate.features.encoders.tower import Tower, tower_network
from palate.features.plan import ContentPlan
from palate.training.adapt import trainable_content

PLANS = ("partial:1", "full", "lora:2", "adapter:4", "prompt:2")
MIXED = (*((plan, "late") for plan in PLANS), *(("frozen", fusion) for fusion in FUSIONS[1:]), ("lora:2", "early"))
SAVED = (("partial:1", "late"), ("adapter:4", "late"), ("frozen", "intermediate"), ("prompt:2", "early"))


def tunes(kind: type[Model]) -> bool:
    return kind.capabilities.tuning


def reads(kind: type[Model]) -> bool:
    return kind.capabilities.content


@cache
def tower() -> Tower:
    """A text tower with random weights for the ``described`` world."""
    pieces = WordPiece(size=80, length=6).fit(variant("described").items.raw("text"))
    assert pieces.vocabulary is not None
    network = {"kind": "text", "vocabulary": len(pieces.vocabulary), "dim": 8, "heads": 2, "length": 6}
    seed_torch(0, "tower")
    return Tower(pieces, network, 6).load_weights(tower_network(network, 6).state_dict(), "tiny")


def content_of(case: Case) -> ContentPlan:
    """A plan whose texts are read by :func:`tower`."""
    found = case.content(case.data("described"))
    return ContentPlan(found.features, found.store, encoders={"text": tower()})


def adapted(case: Case, tuning: str, fusion: str, **more: Any) -> Matcher:
    model = case.new(tuning=tuning, fusion=fusion, fused_dim=8, **more)
    return model.fit(case.data("described"), content=content_of(case))


@check()
def the_axes_are_settings_of_exactly_the_content_models(case: Case) -> None:
    able, config = case.kind.capabilities, case.kind.Config
    assert issubclass(config, ContentConfig) == able.content == bool(able.fusion)
    assert issubclass(config, AdaptedConfig) == able.tuning
    if able.content:
        assert case.new().config.tuning == "frozen" and case.new().config.fusion in able.fusion
    else:
        for axis in ("tuning", "fusion"):
            with pytest.raises(ConfigError, match="no such setting"):
                case.new(**{axis: "frozen"})


@check(reads)
def each_tuning_is_accepted_or_refused_by_name(case: Case) -> None:
    for plan in PLANS:
        if case.kind.capabilities.tuning:
            assert case.new(tuning=plan).config.tuning == plan
        else:
            with pytest.raises(UnsupportedError) as caught:
                case.new(tuning=plan)
            assert "vbpr" in str(caught.value.hint) and case.kind.name not in str(caught.value.hint)


@check(reads)
def each_fusion_is_accepted_or_refused_by_name(case: Case) -> None:
    for fusion in FUSIONS:
        if fusion in case.kind.capabilities.fusion:
            assert case.new(fusion=fusion).config.fusion == fusion
        else:
            with pytest.raises(UnsupportedError) as caught:
                case.new(fusion=fusion)
            assert "vbpr" in str(caught.value.hint) and case.kind.name not in str(caught.value.hint)


@check(reads)
def a_tuning_that_is_none_is_refused_with_those_known(case: Case) -> None:
    for wrong in ("fully", "partial", "partial:0", "lora:-1", "lora:", "full:2", "adapter:x"):
        with pytest.raises(ConfigError, match="tuning"):
            case.new(tuning=wrong)
    with pytest.raises(ConfigError, match="fusion"):
        case.new(fusion="middle")


@check(tunes)
def content_that_nothing_can_train_is_refused(case: Case) -> None:
    with pytest.raises(ConfigError, match="can be trained") as caught:
        case.fit(tuning="full")
    assert "pretrain" in str(caught.value.hint)


@check(tunes)
def every_trained_weight_of_the_content_gets_a_gradient(case: Case) -> None:
    data = case.data("described")
    for tuning, fusion in MIXED:
        model, view = case.new(tuning=tuning, fusion=fusion, fused_dim=8), data.select_view()
        content, features = content_of(case).fit(view, data, dense=case.kind.requirements.dense)
        source = trainable_content(model, content, features, data.items, 0)
        view = content.training_view(view, features).with_features(source.vectors)
        seed_torch(0, "init", model.name)
        model.setup(view, RunContext())
        model.attach_encoders(source)
        model.train()
        (phase,) = model.phases()
        scales = {id(p): group.lr_scale for group in phase.param_groups for p in group.parameters}
        assert all(scales[id(p)] == model.config.pretrained_lr for p in source.network.pretrained())
        reached: set[str] = set()
        # what is zero at first (the up half of an update, the last joint layer) hides what lies behind it for a step
        for _ in range(3):
            model.zero_grad()
            phase.loss(batch_for(case.kind, view))["loss"].backward()
            with torch.no_grad():
                for name, p in source.network.named_parameters():
                    if p.grad is not None and bool(p.grad.abs().sum() > 0):
                        reached.add(name)
                        p -= 0.05 * p.grad / p.grad.abs().max()
        lost = set(source.network.trained()) - reached
        # softmax does not see a shift of all keys, and the norm before the head takes a shared scale out
        lost = {name for name in lost if not name.endswith(("in_proj_bias", "places"))}
        assert not lost, (tuning, fusion, sorted(lost))
        assert all(p.grad is None for p in source.network.parameters() if not p.requires_grad)


@check(tunes)
def trained_content_learns_saves_and_reads_new_items(case: Case) -> None:
    for place, (tuning, fusion) in enumerate(SAVED):
        model = adapted(case, tuning, fusion)
        data = case.data("described")
        assert model.deployment.log.trained > 0
        before = seen_scores(model, data)
        assert np.isfinite(before[:, model.scorer().scorable()]).all()
        again = palate.restore(model.save(case.folder / f"axes-{place}"))
        assert isinstance(again, Matcher) and np.array_equal(seen_scores(again, data), before), (tuning, fusion)
        for one in (model, again):
            one.add_items(arrivals())
        first, second = (one.recommend(history=["i00", "i04"], k=30) for one in (model, again))
        assert "new-full" in first["item"].to_list() and "new-blank" not in first["item"].to_list()
        assert first.equals(second), (tuning, fusion)


@check(tunes)
def trained_content_is_the_same_bits_from_the_same_seed(case: Case) -> None:
    first, second = adapted(case, "lora:2", "early"), adapted(case, "lora:2", "early")
    assert same_state(first, second)
    a, b = first.deployment.content.trained, second.deployment.content.trained
    assert a.identity == b.identity and a.trained().keys() == b.trained().keys()


@check(tunes)
def frozen_weights_stay_and_trained_ones_move(case: Case) -> None:
    start = tower().state()[0]
    for tuning in PLANS:
        model = adapted(case, tuning, "late", lr=0.05, pretrained_lr=1.0)
        network = model.deployment.content.trained
        assert all(np.array_equal(value, start[name]) for name, value in tower().state()[0].items()), "encoder changed"
        wanted = parse_tuning(tuning)
        assert network.tuning == wanted and (bool(network.pretrained()) == (wanted.kind in ("full", "partial")))
        plain = adapted(case, tuning, "late", epochs=0).deployment
        assert any(not torch.equal(p, plain.content.trained.trained()[name]) for name, p in network.trained().items())
        assert not np.array_equal(plain.features["text"].values, model.deployment.features["text"].values)
        assert np.array_equal(plain.features["image"].values, model.deployment.features["image"].values)


@check(tunes)
def frozen_and_late_is_what_the_model_was(case: Case) -> None:
    model = case.fitted("described")
    assert model.deployment.content.trained is None and str(TuningSpec()) == small(case.kind).get("tuning", "frozen")


@check(lambda kind: "members" in kind.Config.model_fields)
def members_cannot_train_the_content_they_share(case: Case) -> None:
    able = next(name for name, kind in models.items() if kind.capabilities.tuning)
    settings = {able: {**small(models.get(able)), "tuning": "full"}}
    with pytest.raises(UnsupportedError, match="shares its content"):
        case.fit("described", members=(able,), settings=settings)
