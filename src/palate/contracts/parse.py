"""Models from text, as the command line and ``compare`` name them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import yaml

from palate.contracts.generator import generators
from palate.contracts.model import Model, models
from palate.core.errors import ConfigError
from palate.core.registry import Registry

M = TypeVar("M", bound=Model)


def parse(text: str, registry: Registry[type[M]], extra: Mapping[str, Any] | None = None) -> M:
    """Make an unfitted model from ``name``, ``name@preset`` or ``name:key=value;key=value``.

    Args:
        text: the name with preset or settings.
        registry: where to look the name up.
        extra: further settings; they win.

    Raises:
        ConfigError: for an unknown name, preset or setting.
    """
    head, _, tail = text.partition(":")
    name, _, preset = head.partition("@")
    kind = registry.get(name.strip())
    if preset and preset not in kind.presets:
        known = ", ".join(kind.presets) or "none"
        raise ConfigError(f"{name} has no such preset", key=preset, hint=f"presets: {known}")
    settings = dict(kind.presets.get(preset, {}))
    for pair in filter(None, tail.split(";")):
        key, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError("expected key=value", key=pair, hint="write name:key=value;key=value")
        settings[key.strip()] = yaml.safe_load(value)
    return kind(**{**settings, **(extra or {})})


def parse_model(text: str, extra: Mapping[str, Any] | None = None) -> Model:
    """Make an unfitted model of any task, see :func:`parse`.

    Args:
        text: the name with preset or settings.
        extra: further settings; they win.

    Raises:
        ConfigError: for an unknown name, preset or setting.
    """
    made: Model = parse(text, registry_of(text.partition(":")[0].partition("@")[0].strip()), extra)
    return made


def parse_pipeline(text: str) -> dict[str, str]:
    """Stages from ``match=blend,rank=din,rerank=ssd``; each is a model as :func:`parse` reads it.

    Args:
        text: stages by comma; commas within the settings of a stage belong to it.

    Raises:
        ConfigError: for text before the first stage, a stage twice, or a stage without a model.
    """
    parts = re.split(r"(?:^|,)\s*(match|rank|rerank)\s*=", text.strip())
    names, values = parts[1::2], [value.strip() for value in parts[2::2]]
    if parts[0].strip() or not names or not all(values) or len(set(names)) < len(names):
        raise ConfigError("expected stages", key=text, hint="match=MODEL,rank=MODEL,rerank=MODEL, each at most once")
    return dict(zip(names, values, strict=True))


def with_settings(text: str, settings: Mapping[str, Any]) -> str:
    """The text of a model with further settings, for :func:`parse_model`.

    Args:
        text: the name with preset or settings.
        settings: further settings; they win.
    """
    if not settings:
        return text
    pairs = ";".join(f"{key}={json.dumps(value)}" for key, value in settings.items())
    return f"{text}{';' if ':' in text else ':'}{pairs}"


def registry_of(name: str) -> Registry[Any]:
    """The registry that has a name: that of models, or that of generators, which can be trained too.

    Args:
        name: as registered.

    Returns:
        The registry of models for a name that neither has.
    """
    try:
        models.get(name)
    except ConfigError:
        return generators if name in generators.names() else models
    return models
