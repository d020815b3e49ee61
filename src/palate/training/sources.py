"""Where the loop's batches come from, and who judges an epoch: users and items, or examples of items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from palate.core.batch import ExampleBatch, IntArray, PairBatch
from palate.core.model import Matcher, Model, Pretrainer
from palate.data.sampling import Negatives
from palate.data.views import TrainView
from palate.metrics.held_out import validate

from . import distributed

Batch = PairBatch | ExampleBatch


class Source(Protocol):
    """One epoch is every row once. ``judge`` is None where nothing can be held against the model."""

    judge: Callable[[], float] | None

    def __len__(self) -> int: ...

    def batch(self, rows: IntArray, rng: np.random.Generator, rank: int, world: int) -> tuple[Batch, float]:
        """This process's share of a global batch, and its weight."""
        ...


def source_of(model: Model, view: TrainView, metric: str, device: str) -> Source:
    """The source that ``model`` needs."""
    if isinstance(model, Pretrainer):
        return ExampleSource(model, view, device)
    return PairSource(model, view, metric, device)


class PairSource:
    """(user, item, negatives) of the training positives; judged by recommending to validation users."""

    def __init__(self, model: Model, view: TrainView, metric: str, device: str) -> None:
        self.model, self.view, self.metric, self.device = model, view, metric, device
        self.negatives = Negatives(view.n_items, (view.history.indptr, view.history.items), _drawable(view))
        self.judge = self._judge if view.valid is not None and isinstance(model, Matcher) else None

    def __len__(self) -> int:
        return len(self.view)

    def batch(self, rows: IntArray, rng: np.random.Generator, rank: int, world: int) -> tuple[PairBatch, float]:
        users, items = self.view.users[rows], self.view.items[rows]
        count = (
            self.model.requirements.negatives
            if self.model.requirements.negatives >= 0
            else int(self.model.config.negatives)
        )
        drawn = self.negatives.draw(users, count, rng) if count else np.zeros((len(rows), 0), np.int64)
        part, weight = distributed.share(np.arange(len(rows)), rank, world)
        u, i, n = (torch.from_numpy(np.ascontiguousarray(a[part])).to(self.device) for a in (users, items, drawn))
        return PairBatch(u, i, n), weight

    def _judge(self) -> float:
        model, held = self.model, self.view.valid
        assert held is not None and isinstance(model, Matcher)
        hidden = not self.view.visible_items.all()
        # tensors made in inference mode could not be trained on again, so content changes hands outside it
        if hidden:
            model.update_items(self.view.all_features, self.view.n_items)
        with torch.inference_mode():
            score = validate(model.scorer(), held, self.metric)
        if hidden:
            model.update_items(self.view.visible, self.view.n_items)
        return score


class ExampleSource:
    """Examples that a pretrainer makes of the training view; judged by its own held-out score."""

    def __init__(self, model: Pretrainer, view: TrainView, device: str) -> None:
        self.rows = model.examples(view)
        self.device = device
        self.judge: Callable[[], float] | None = model.validation_score

    def __len__(self) -> int:
        return len(self.rows)

    def batch(self, rows: IntArray, rng: np.random.Generator, rank: int, world: int) -> tuple[ExampleBatch, float]:
        part, weight = distributed.share(self.rows[rows], rank, world)
        return ExampleBatch(torch.from_numpy(part).to(self.device)), weight


def _drawable(view: TrainView) -> IntArray | None:
    """Negatives come from items that somebody took: nobody's choice says nothing about an item nobody could take."""
    return None if view.warm_items.all() else np.flatnonzero(view.warm_items)
