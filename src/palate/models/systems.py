"""What the registered systems are, without importing them: listing models must not take as long as loading torch."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any

GROUPS = ("palate.models", "palate.pretrainers", "palate.generators")
FILE = "systems.json"


def systems() -> list[dict[str, Any]]:
    """Every system: ``name``, ``class``, ``task``, ``stage``, ``capabilities``, ``presets``, ``paper`` and ``caution``.

    A caution is what measurements say against a system. Read from a file that ``tools/generate.py`` writes; where an
    installed package adds systems they are all asked.
    """
    if any(entry_points(group=group) for group in GROUPS):
        from palate.contracts.describe import summaries

        return summaries()
    found: list[dict[str, Any]] = json.loads(files("palate.models").joinpath(FILE).read_text(encoding="utf-8"))
    return found
