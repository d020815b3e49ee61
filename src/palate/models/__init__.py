"""One file per named system. ``palate.models.BM3(dim=64)`` finds the class by its name."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    from palate.contracts import models
    from palate.core.errors import did_you_mean

    if name.startswith("_"):
        raise AttributeError(name)
    classes = {kind.__name__: kind for _, kind in models.items()}
    if name in classes:
        return classes[name]
    raise AttributeError(f"no model class {name!r}: {did_you_mean(name, classes)}")
