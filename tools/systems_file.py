"""The list of systems that ``palate models`` reads instead of importing them all: one system a line."""

from __future__ import annotations

import json

from palate.contracts.describe import all_kinds, summaries


def render() -> str:
    """Text of ``src/palate/models/systems.json``; systems of other packages are left out."""
    ours = {kind.name for kind in all_kinds() if kind.__module__.startswith("palate.")}
    lines = [json.dumps(system, ensure_ascii=False) for system in summaries() if system["name"] in ours]
    return "[\n" + ",\n".join(lines) + "\n]\n"
