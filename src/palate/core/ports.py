"""Conveniences that contracts offer but higher rooms provide, looked up by name when they are called."""

from __future__ import annotations

import importlib
from typing import Any

_PROVIDERS = {
    "fit": "palate.training.fit:fit",
    "save": "palate.training.saving:save",
}


def port(name: str) -> Any:
    """The function behind ``name``."""
    module, _, attribute = _PROVIDERS[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
