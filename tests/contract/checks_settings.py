"""Settings and description: what a reader of ``palate models`` and a typo meet."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from cases import Case, check, small
from pydantic import ValidationError

from palate.contracts import Matcher
from palate.core.config import TrainedConfig, search_space
from palate.core.errors import ConfigError, NotFittedError, UnsupportedError
from palate.training.tune import distribution


def refused(kind: type[Any], **settings: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    return caught.value


@check()
def unknown_setting_is_refused(case: Case) -> None:
    error = refused(case.kind, epochz=3)
    assert error.key == "epochz"
    assert case.kind.name in error.message


@check(lambda kind: bool(kind.Config.model_fields))
def misspelt_setting_is_answered_with_the_right_one(case: Case) -> None:
    for name in case.kind.Config.model_fields:
        hint = refused(case.kind, **{f"{name}s" if name != "setting" else "settinng": 1}).hint
        assert hint is not None and name in hint, f"{name}: {hint}"


@check(lambda kind: bool(kind.Config.model_fields))
def setting_of_a_wrong_type_is_refused_by_name(case: Case) -> None:
    for name in case.kind.Config.model_fields:
        error = refused(case.kind, **{name: object()})
        assert str(error.key).partition(".")[0] == name


@check()
def settings_survive_a_round_trip(case: Case) -> None:
    config = case.new().config
    again = case.kind(**config.model_dump(mode="json")).config
    assert again == config


@check()
def settings_are_frozen(case: Case) -> None:
    config = case.new().config
    for name in case.kind.Config.model_fields:
        with pytest.raises(ValidationError):
            setattr(config, name, getattr(config, name))
    assert config.model_config.get("frozen") and config.model_config.get("extra") == "forbid"


@check()
def defaults_are_enough(case: Case) -> None:
    assert case.kind().config == case.kind.Config()


@check()
def fresh_copy_is_unfitted_with_the_same_settings(case: Case) -> None:
    model = case.fitted()
    copy = model.clone({})
    assert type(copy) is type(model) and copy.config == model.config
    assert copy.deployment is None and copy.input_spec is None and copy is not model


@check(lambda kind: bool(kind.Config.model_fields))
def fresh_copy_takes_changes_and_refuses_unknown_ones(case: Case) -> None:
    default = case.kind.Config()
    name, value = next(iter(default.model_dump().items()))
    assert getattr(case.new().clone({name: value}).config, name) == getattr(default, name)
    with pytest.raises(ConfigError):
        case.new().clone({"epochz": 1})


@check()
def presets_are_valid_settings(case: Case) -> None:
    for name, settings in case.kind.presets.items():
        assert isinstance(name, str)
        case.kind(**settings)


@check()
def name_is_the_name_of_its_file_or_package(case: Case) -> None:
    assert case.kind.__module__.removesuffix(".model").rpartition(".")[2] == case.kind.name


@check()
def paper_and_docstrings_are_there(case: Case) -> None:
    module = inspect.getmodule(case.kind)
    assert module is not None and module.__doc__ and len(module.__doc__) > 40
    assert case.kind.__doc__ and case.kind.paper
    assert case.kind.task and case.kind.stage


@check()
def every_setting_is_described(case: Case) -> None:
    fields = case.kind.Config.model_fields
    missing = [name for name, setting in fields.items() if not setting.description]
    assert not missing, f"give these settings a description, Field(default, description=...): {missing}"
    assert case.kind.Config.__doc__, "the Config has no docstring"
    for name, ranges in search_space(case.kind.Config).items():
        options = distribution(ranges, fields[name].annotation in (int, int | None))
        for value in getattr(options, "choices", None) or (options.low, options.high):
            case.kind(**{name: value})


@check()
def file_fits_on_a_few_screens(case: Case) -> None:
    lines = Path(inspect.getfile(case.kind)).read_text(encoding="utf-8").count("\n")
    assert lines <= 200, f"{lines} lines"


@check()
def capabilities_agree_with_requirements(case: Case) -> None:
    able, required = case.kind.capabilities, case.kind.requirements
    assert able.content or not (able.new_items or required.content or required.dense)
    assert required.content or not required.dense
    source = case.kind.batches is not Matcher.batches
    assert source or not issubclass(case.kind.Config, TrainedConfig), "a trained model returns its batches"


@check()
def unfitted_model_says_so(case: Case) -> None:
    model = case.new()
    for call in (
        lambda: model.recommend(["u00"]),
        lambda: model.similar_items("i00"),
        lambda: model.add_items(None),
        lambda: model.save(case.folder / "nothing"),
    ):
        with pytest.raises(NotFittedError) as caught:
            call()
        assert case.kind.name in str(caught.value) and caught.value.hint
    assert not (case.folder / "nothing").exists()


@check()
def small_settings_are_settings(case: Case) -> None:
    for name, value in small(case.kind).items():
        assert getattr(case.new().config, name) == value


@check()
def two_models_share_nothing(case: Case) -> None:
    first, second = case.fitted(), case.new()
    assert second.deployment is None and not list(second.parameters()) and not list(second.buffers())
    with pytest.raises((NotFittedError, UnsupportedError)):
        second.recommend(["u00"])
    assert first.deployment is not None
