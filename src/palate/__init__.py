"""Palate: multimodal pretraining, adaptation and generation for recommendation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from palate import features, metrics, models, simulation
    from palate.core.content import Features
    from palate.core.errors import PalateError
    from palate.data.dataset import Dataset
    from palate.data.load import load
    from palate.evaluation.compare import compare
    from palate.evaluation.evaluate import evaluate
    from palate.training.saving import restore

__version__ = "0.1.0"
__all__ = [
    "Dataset",
    "Features",
    "PalateError",
    "compare",
    "evaluate",
    "features",
    "load",
    "metrics",
    "models",
    "restore",
    "simulation",
]
_LAZY = {
    "load": "palate.data.load",
    "Dataset": "palate.data.dataset",
    "Features": "palate.core.content",
    "PalateError": "palate.core.errors",
    "restore": "palate.training.saving",
    "compare": "palate.evaluation.compare",
    "evaluate": "palate.evaluation.evaluate",
}
_ROOMS = ("models", "metrics", "features", "simulation")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"palate.{name}")
    raise AttributeError(f"module 'palate' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
