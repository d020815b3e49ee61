"""What a check is handed: one model class, its small settings, and fits that all checks of a session share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_world import N_USERS, variant

import palate
from palate.contracts import Matcher, Model, models
from palate.core.batch import Batch, RaggedArray, UserBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.plan import ContentPlan, plan_content
from palate.ranking.scorer import Scorer

Check = Callable[["Case"], None]
CHECKS: dict[str, Check] = {}
APPLIES: dict[str, Callable[[type[Model]], bool]] = {}
ENCODERS = {"text": "hash?dim=64", "attributes": "none"}


def check(applies: Callable[[type[Model]], bool] = lambda kind: True) -> Callable[[Check], Check]:
    """Register a check under its function's name; ``applies`` leaves models out for which it has no meaning."""

    def add(function: Check) -> Check:
        assert function.__name__ not in CHECKS, f"two checks are called {function.__name__}"
        CHECKS[function.__name__] = function
        APPLIES[function.__name__] = applies
        return function

    return add


def trained(kind: type[Model]) -> bool:
    """Trained by the loop."""
    return issubclass(kind.Config, TrainedConfig)


def closed_form(kind: type[Model]) -> bool:
    """Solved without drawing anything, and not made of other models."""
    return not trained(kind) and "members" not in kind.Config.model_fields


def small(kind: type[Model]) -> dict[str, Any]:
    """Settings with which a fit takes a fraction of a second."""
    fields = kind.Config.model_fields
    settings: dict[str, Any] = {}
    if issubclass(kind.Config, TrainedConfig):
        settings = {"dim": 8, "epochs": 2, "batch_size": 64, "lr": 0.01}
    if "members" in fields and "settings" in fields:
        members = [name for name in ("ease_content", "freedom", "bpr") if name in models.names()]
        settings |= {"members": tuple(members), "settings": {name: small(models.get(name)) for name in members}}
    return settings


@dataclass
class Case:
    """A model class under test.

    Attributes:
        kind: the class. folder: scratch space.
    """

    kind: type[Model]
    folder: Path
    _fits: dict[tuple[str, int], Matcher] = field(default_factory=dict)
    _saved: dict[str, Path] = field(default_factory=dict)

    def new(self, **changes: Any) -> Matcher:
        """An unfitted model with small settings."""
        model = self.kind(**{**small(self.kind), **changes})
        assert isinstance(model, Matcher)
        return model

    def data(self, name: str = "plain") -> Dataset:
        """A dataset by name; one that the model can learn from when it needs content."""
        return variant(name)

    def content(self, data: Dataset) -> ContentPlan:
        """Encoders that need no installation beyond the core."""
        have = {name: spec for name, spec in ENCODERS.items() if name in data.items.modalities}
        plan = plan_content(data, have)
        fields = {name: spec for name, spec in plan.fields.items() if not spec.encoder.startswith("minilm")}
        return replace(plan, fields=fields)

    def fit(self, data: Dataset | str = "plain", seed: int = 0, **changes: Any) -> Matcher:
        """A fit of its own, which a check may change."""
        found = self.data(data) if isinstance(data, str) else data
        return self.new(**changes).fit(found, seed=seed, content=self.content(found))

    def fitted(self, data: str = "plain", seed: int = 0) -> Matcher:
        """A shared fit; checks must not change it."""
        if (data, seed) not in self._fits:
            self._fits[data, seed] = self.fit(data, seed)
        return self._fits[data, seed]

    def taught(self) -> Matcher:
        """A shared fit that trained long enough to have learned something; checks must not change it."""
        if ("taught", 0) not in self._fits:
            longer = {"epochs": 40, "lr": 0.03} if trained(self.kind) else {}
            self._fits["taught", 0] = self.fit(**longer)
        return self._fits["taught", 0]

    def saved(self, data: str = "plain") -> Path:
        """A run folder of the shared fit; checks must not change it."""
        if data not in self._saved:
            self._saved[data] = self.fitted(data).save(self.folder / f"run-{data}")
        return self._saved[data]

    def run_copy(self, name: str, data: str = "plain") -> Path:
        """A run folder which a check may change."""
        target = self.folder / name
        shutil.copytree(self.saved(data), target)
        return target

    def restored(self, data: str = "plain") -> Matcher:
        """A fitted model which a check may change."""
        model = palate.restore(self.saved(data))
        assert isinstance(model, Matcher)
        return model


def batch_for(kind: type[Model], view: TrainView, size: int = 32) -> Batch:
    """A training batch of the source that ``kind`` returns, of at most ``size`` rows."""
    rng = np.random.default_rng(0)
    source = kind(**small(kind)).batches(view, RunContext())
    rows = rng.choice(len(source), min(size, len(source)), replace=False)
    return source.collate(rows, rng)


def people(data: Dataset, rows: np.ndarray | None = None) -> UserBatch:
    """Users of the training table with their training histories."""
    return data.select_view().user_batch(np.arange(N_USERS) if rows is None else rows)


def visitors(histories: list[list[int]]) -> UserBatch:
    """People in no table."""
    return UserBatch(np.full(len(histories), -1), RaggedArray.of(histories))


def scores(scorer: Scorer, users: UserBatch, items: np.ndarray | None = None) -> np.ndarray:
    """Scores as float array [B, N]."""
    with torch.inference_mode():
        return scorer.score(users, items).numpy()


def seen_scores(model: Matcher, data: Dataset) -> np.ndarray:
    """Scores of all items for all users of ``data``."""
    return scores(model.scorer(), people(data))


def same_state(first: Model, second: Model) -> bool:
    """Equal saved tensors, bit by bit, and equal extra state."""
    a, b = first.saved_tensors(), second.saved_tensors()
    return (
        a.keys() == b.keys()
        and all(a[name].shape == b[name].shape and torch.equal(a[name], b[name]) for name in a)
        and repr(first.extra_state()) == repr(second.extra_state())
    )
