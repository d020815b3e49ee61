"""Settings as data."""

from typing import Annotated, Literal

import pytest
from pydantic import Field

from palate.contracts import models, pretrainers
from palate.core.config import ModelConfig
from palate.core.settings import Setting, settings_of


class Config(ModelConfig):
    rate: float = Field(0.5, gt=0, le=1, description="of learning", json_schema_extra={"search": "0.1..1"})
    kind: Literal["a", "b"] = "a"
    names: tuple[str, ...] = ("x",)
    shares: dict[str, float] = Field(default_factory=dict)
    size: int | None = Field(None, ge=2, multiple_of=2)
    marked: Annotated[int, Field(ge=3)] = 3


def test_every_part_of_a_setting_is_read_from_its_field():
    rate, kind, names, shares, size, marked = settings_of(Config)
    assert rate == Setting("rate", "float", 0.5, "of learning", "> 0, <= 1", "0.1..1")
    assert (kind.type, kind.default, kind.description, kind.search) == ("a | b", "a", "", None)
    assert (names.type, names.default) == ("list of str", ["x"])
    assert (shares.type, shares.default) == ("str -> float", {})
    assert (size.type, size.default, size.range) == ("int or none", None, ">= 2, a multiple of 2")
    assert (marked.type, marked.range) == ("int", ">= 3")


@pytest.mark.parametrize("registry", [models, pretrainers], ids=["models", "pretrainers"])
def test_settings_of_every_system_have_readable_types(registry):
    for name, kind in registry.items():
        for setting in settings_of(kind.Config):
            assert setting.type and not {"[", "<", "typing", "NoneType"} & set(setting.type.split()), (name, setting)
            assert "[" not in setting.type and "<" not in setting.type, (name, setting)
