"""Registered systems as data: what ``palate models`` and the documentation say about each."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from palate.contracts.generator import generators
from palate.contracts.model import Model, models
from palate.contracts.pretrainer import pretrainers
from palate.core.settings import settings_of


def all_kinds() -> list[type[Model]]:
    """Every registered system: generators, pretrainers, then the models of all other tasks."""
    return [kind for registry in (generators, pretrainers, models) for _, kind in registry.items()]


def all_systems() -> dict[str, type[Model]]:
    """Every registered system by name; of a generator and another system of one name, the other one."""
    return {kind.name: kind for kind in all_kinds()}


def describe(kind: type[Model]) -> dict[str, Any]:
    """Describe one system.

    Args:
        kind: its class.

    Returns:
        JSON-able ``name``, ``class``, ``task``, ``stage``, ``paper``, ``caution``, ``capabilities`` (flag -> value),
        ``requirements``, ``exports`` (what ``palate export`` writes), ``presets`` (name -> settings) and ``settings``,
        a list of what :class:`palate.core.settings.Setting` holds.
    """
    return {
        "name": kind.name,
        "class": kind.__name__,
        "task": kind.task_name,
        "stage": kind.stage,
        "paper": kind.paper,
        "caution": kind.caution,
        "capabilities": asdict(kind.capabilities),
        "requirements": asdict(kind.requirements),
        "exports": list(kind.exports),
        "presets": {name: dict(settings) for name, settings in kind.presets.items()},
        "settings": [setting.to_json() for setting in settings_of(kind.Config)],
    }


def summaries() -> list[dict[str, Any]]:
    """Every system without settings and requirements: what lists of systems show."""
    kept = ("name", "class", "task", "stage", "capabilities", "presets", "paper", "caution")
    found = []
    for kind in all_kinds():
        facts = describe(kind)
        facts["presets"] = list(facts["presets"])
        found.append({key: facts[key] for key in kept})
    return found
