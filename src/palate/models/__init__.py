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
    known = {kind.name: kind.__name__ for kind in classes.values()}
    hint = f"did you mean {known[name]}?" if name in known else did_you_mean(name, classes)
    raise AttributeError(f"no model class {name!r}: {hint}")


def __dir__() -> list[str]:
    from palate.models.systems import systems

    return sorted(system["class"] for system in systems() if system["task"] not in ("pretrain", "generate"))
