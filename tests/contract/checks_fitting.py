"""Fitting: deterministic, polite to its surroundings, honest about bad input."""

from __future__ import annotations

import hashlib
import random
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from cases import Case, batch_for, check, people, same_state, scores, seen_scores, small, trained
from tiny_world import N_USERS, broken_vector, memory_mapped, no_training_rows

from palate.core.context import RunContext
from palate.core.errors import ConfigError, DataError, FeatureError, UnsupportedError
from palate.core.seeding import seed_torch
from palate.data.dataset import Dataset
from palate.data.views import TrainView


def fingerprint(data: Dataset) -> str:
    state = hashlib.sha256()
    for found in data.items.given.values():
        state.update(np.ascontiguousarray(found.values).tobytes() + found.present.tobytes())
    for edges in data.relations.edges.values():
        state.update(edges.source.tobytes() + edges.target.tobytes() + edges.weight.tobytes())
    for table in (data.items.frame, data.interactions.frame, data.users.frame):
        state.update(repr(table.hash_rows(seed=1).to_list()).encode())
    p, split = data.positives, data.split
    for array in (p.users, p.items, p.times, p.part, split.part, split.visible_items, split.refit_items):
        state.update(b"" if array is None else array.tobytes())
    return state.hexdigest()


def ready(case: Case, **changes: Any) -> tuple[torch.nn.Module, TrainView]:
    """A model that is set up but not trained, and its view."""
    data = case.data()
    model = case.new(**changes)
    view = case.content(data).view(data.select_view(), data, dense=case.kind.requirements.dense)
    seed_torch(0, "init", model.name)
    model.setup(view, RunContext())
    return model, view


@check()
def fit_returns_the_model_itself(case: Case) -> None:
    model = case.new()
    data = case.data()
    again = model.fit(data, content=case.content(data))
    assert again is model and type(again) is case.kind and model.deployment is not None


@check()
def same_seed_gives_the_same_bits(case: Case) -> None:
    assert same_state(case.fitted(), case.fit())


@check()
def another_seed_differs_exactly_when_there_is_something_to_draw(case: Case) -> None:
    first, second = case.fitted(), case.fitted(seed=1)
    if list(first.parameters()):
        assert not case.kind.deterministic and not same_state(first, second)
    elif case.kind.deterministic:
        assert same_state(first, second)


class WatchedRun(RunContext):
    """Counts how often the seed is read."""

    reads: ClassVar[list[str]] = []

    def __getattribute__(self, name: str) -> Any:
        if name == "seed":
            WatchedRun.reads.append(name)
        return super().__getattribute__(name)


@check(lambda kind: kind.deterministic)
def a_model_called_deterministic_reads_no_seed(case: Case) -> None:
    """A choice on one small world may agree for two seeds by chance; what is never read cannot matter."""
    for name in ("plain", "item_cold"):
        data = case.data(name)
        model = case.new()
        view = case.content(data).view(data.select_view(), data, dense=case.kind.requirements.dense)
        WatchedRun.reads.clear()
        torch_state = torch.get_rng_state()
        model.setup(view, WatchedRun())
        model.solve(view, WatchedRun())
        assert not WatchedRun.reads, name
        assert torch.equal(torch.get_rng_state(), torch_state), name


@check()
def fitting_again_forgets_the_past(case: Case) -> None:
    model = case.fit("other_content")
    data = case.data()
    model.fit(data, content=case.content(data))
    assert same_state(model, case.fitted())
    assert np.array_equal(seen_scores(model, data), seen_scores(case.fitted(), data))


@check()
def fitting_leaves_its_settings_alone(case: Case) -> None:
    assert case.fitted().config == case.new().config


@check()
def inputs_are_not_changed(case: Case) -> None:
    for name in ("plain", "item_cold"):
        data = case.data(name)
        before = fingerprint(data)
        model = case.fit(data)
        model.recommend(["u00"], k=3)
        assert fingerprint(data) == before, name


@check()
def read_only_memory_maps_are_read(case: Case) -> None:
    case.folder.joinpath("maps").mkdir(exist_ok=True)
    data = memory_mapped(case.folder / "maps")
    assert same_state(case.fit(data), case.fitted())


@check()
def no_training_rows_are_refused(case: Case) -> None:
    with pytest.raises(DataError, match="training positive"):
        case.fit(no_training_rows())


@check(lambda kind: kind.capabilities.content)
def a_vector_that_is_not_finite_is_refused_by_name(case: Case) -> None:
    for value in (np.nan, np.inf, -np.inf):
        with pytest.raises(FeatureError) as caught:
            case.fit(broken_vector(value))
        assert caught.value.key == "image" and caught.value.row == 5 and caught.value.hint


@check()
def content_is_asked_for_exactly_by_models_that_need_it(case: Case) -> None:
    data = case.data("no_content")
    if case.kind.requirements.content:
        with pytest.raises(ConfigError, match="content") as caught:
            case.fit(data)
        assert caught.value.hint
    elif "members" not in small(case.kind):
        assert np.isfinite(seen_scores(case.fit(data), data)).all()


@check()
def given_neighbour_graphs_are_enough_content(case: Case) -> None:
    data = case.data("neighbours")
    model = case.fitted("neighbours")
    known = model.scorer().scorable()
    assert np.isfinite(seen_scores(model, data)[:, known]).all()
    assert len(model.recommend(["u00", "u01"], k=5)) == 10


@check()
def global_generators_do_not_matter(case: Case) -> None:
    np.random.seed(123)  # noqa: NPY002
    random.seed(123)
    torch.manual_seed(123)
    assert same_state(case.fit(), case.fitted())


@check()
def global_generators_are_left_alone(case: Case) -> None:
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    case.fit()
    assert random.getstate() == before[1]
    assert np.array_equal(np.random.get_state()[1], before[2])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[0])


@check()
def loss_is_a_finite_scalar_or_refused(case: Case) -> None:
    model, view = ready(case)
    if not trained(case.kind):
        with pytest.raises(UnsupportedError):
            model.loss(None)
        return
    model.train()
    terms = model.loss(batch_for(case.kind, view))
    assert "loss" in terms and terms["loss"].requires_grad
    for name, value in terms.items():
        assert value.ndim == 0 and bool(torch.isfinite(value)), name


@check(trained)
def loss_accepts_a_single_pair(case: Case) -> None:
    model, view = ready(case)
    model.train()
    terms = model.loss(batch_for(case.kind, view, 1))
    assert all(bool(torch.isfinite(value)) for value in terms.values())


@check(trained)
def every_trained_parameter_gets_a_gradient(case: Case) -> None:
    model, view = ready(case)
    model.train()
    phases = model.phases()
    assert phases
    reached: set[int] = set()
    for phase in phases:
        model.zero_grad()
        model.on_epoch(0, np.random.default_rng(0))
        phase.loss(batch_for(case.kind, view, 128))["loss"].backward()
        reached |= {id(p) for p in phase.parameters if p.grad is not None and bool(p.grad.abs().sum() > 0)}
    lost = [name for name, p in model.named_parameters() if p.requires_grad and id(p) not in reached]
    assert not lost, lost


@check(trained)
def training_moves_the_parameters(case: Case) -> None:
    start, _ = ready(case)
    end = case.fitted()
    moved = [
        not torch.equal(p, dict(end.named_parameters())[name])
        for name, p in start.named_parameters()
        if p.requires_grad
    ]
    assert all(moved)


@check(lambda kind: trained(kind) and bool(kind.presets))
def a_whole_epoch_depends_on_its_generator_alone_and_moves_its_parameters(case: Case) -> None:
    for settings in case.kind.presets.values():
        ends = []
        for _ in range(2):
            model, _ = ready(case, **settings)
            start = {name: p.detach().clone() for name, p in model.named_parameters()}
            for phase in model.phases():
                if phase.train_epoch is None:
                    continue
                means = phase.train_epoch(phase.lr, np.random.default_rng(3))
                assert np.isfinite(means["loss"])
                own = {id(p) for p in phase.parameters}
                for name, p in model.named_parameters():
                    assert torch.equal(p, start[name]) != (id(p) in own), name
                    start[name] = p.detach().clone()
            ends.append(model)
        assert same_state(*ends)


@check()
def training_positives_score_above_the_rest(case: Case) -> None:
    """Also what a shifted id table would betray: neighbouring rows belong to other tastes."""
    data = case.data()
    scorer = case.taught().scorer()
    users = people(data)
    table = scores(scorer, users)
    taken = np.zeros(table.shape, bool)
    taken[users.history.owners(), users.history.items] = True
    known = scorer.scorable()
    areas = [
        (table[u][taken[u] & known][:, None] > table[u][~taken[u] & known][None, :]).mean() for u in range(N_USERS)
    ]
    assert np.mean(areas) > 0.55, f"AUC {np.mean(areas):.3f}"


@check()
def the_log_says_what_happened(case: Case) -> None:
    log = case.fitted().deployment.log
    assert log.metric == "recall@20" and log.valid is not None and 0 <= log.valid <= 1
    assert log.seconds["select"] > 0
    if trained(case.kind):
        assert 1 <= len(log.history) <= 2
        assert all(np.isfinite(record["loss"]) and "valid" in record for record in log.history)


@check()
def settings_chosen_on_validation_are_settings(case: Case) -> None:
    model = case.fitted()
    model.clone(model.deployment.log.selected)


@check()
def a_fitted_model_is_in_evaluation_mode(case: Case) -> None:
    assert not any(module.training for module in case.fitted().modules())
