"""Boosted trees on counters (Ke et al., LightGBM, NeurIPS 2017): what rankers that learn embeddings have to beat.

Features: counters of users, items and values (see palate.features.counters), numbers among the fields, and the length
of the history. Validation stops the boosting. Trees need no embedding of an id: all they know of it are its counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, RankerConfig, models
from palate.contracts.ranker import CounterKind
from palate.core.artifacts import Artifact
from palate.core.batch import ImpressionBatch
from palate.core.context import RunContext
from palate.core.errors import MissingDependencyError
from palate.core.seeding import rng_for
from palate.data.views import TrainView
from palate.models.base import RankingModel

CHUNK = 8192
THREADS = 1
"""Sums of histograms then come in one order: same seed, same trees."""


@models.register("gbdt")
class GBDT(RankingModel):
    """Click-through prediction by boosted trees on counters."""

    name = "gbdt"
    paper = "Ke et al., LightGBM: A Highly Efficient Gradient Boosting Decision Tree, NeurIPS 2017"
    capabilities = Capabilities(new_items=True, new_users=True)

    class Config(RankerConfig):
        """Settings."""

        counters: CounterKind = Field("windows", description="shares of positives: none, all of the past, or windows")
        trees: int = Field(600, ge=1, description="trees at most", json_schema_extra={"search": "200..1000"})
        leaves: int = Field(15, ge=2, description="leaves of a tree", json_schema_extra={"search": "7,15,31"})
        rate: float = Field(0.03, gt=0, description="shrinkage", json_schema_extra={"search": "0.01..0.1:log"})
        leaf_events: int = Field(50, ge=1, description="events of a leaf at least")
        columns: float = Field(0.6, gt=0, le=1, description="share of the features that a tree may use")
        rows: float = Field(0.8, gt=0, le=1, description="share of the events that a tree learns from")
        l2: float = Field(5.0, ge=0, description="L2 penalty of leaf values")
        patience: int = Field(50, ge=1, description="trees without gain on validation after which boosting stops")

    config: Config
    _booster: Any = None

    def solve(self, train: TrainView, run: RunContext) -> bool:
        if find_spec("lightgbm") is None:
            raise MissingDependencyError("lightgbm", "trees")
        import lightgbm as lgb

        source, queries = self.batches(train, run), train.ranking_queries
        starts = range(0, len(source), CHUNK)
        rows = [np.arange(start, min(start + CHUNK, len(source))) for start in starts]
        rng = rng_for(run.seed, "gbdt")
        learnt = lgb.Dataset(*self._table([source.collate(some, rng) for some in rows]))
        held = [] if queries is None else [lgb.Dataset(*self._table(self.question_batches(queries)), reference=learnt)]
        c = self.config
        settings = {
            "objective": "binary", "learning_rate": c.rate, "num_leaves": c.leaves, "min_data_in_leaf": c.leaf_events,
            "feature_fraction": c.columns, "bagging_fraction": c.rows, "bagging_freq": 1, "lambda_l2": c.l2,
            "metric": "auc", "seed": run.seed, "deterministic": True, "num_threads": THREADS, "verbose": -1,
        }  # fmt: skip
        stop: list[Any] = [lgb.early_stopping(c.patience, verbose=False)] if held else []
        self._booster = lgb.train(settings, learnt, c.trees, valid_sets=held, callbacks=stop)
        return True

    def selected_settings(self) -> dict[str, Any]:
        return {"trees": max(self._booster.best_iteration, 1)} if self._booster.best_iteration > 0 else {}

    def _table(self, batches: Iterable[ImpressionBatch]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Features [n, columns] and labels [n]."""
        made = [(self.columns(batch), batch.labels.numpy()) for batch in batches]
        return np.concatenate([x for x, _ in made]), np.concatenate([y for _, y in made])

    def columns(self, batch: ImpressionBatch) -> NDArray[np.float32]:
        """Features float32 [n, columns] of events.

        Args:
            batch: n events.
        """
        numbers = [self.tables.of(one.name, batch) for one in self.read_fields if one.kind == "numeric"]
        lengths = (batch.indptr[1:] - batch.indptr[:-1])[batch.groups]
        parts = [lengths.float()[:, None], *(one[:, None] for one in numbers)]
        parts += [] if batch.counters is None else [batch.counters]
        return torch.cat(parts, 1).cpu().numpy()

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        scores = self._booster.predict(self.columns(batch), raw_score=True, num_threads=THREADS)
        return {"label": torch.as_tensor(scores, dtype=torch.float32, device=batch.items.device)}

    def artifacts(self) -> Mapping[str, Artifact]:
        trees = Artifact("trees", state={"text": self._booster.model_to_string()})
        return {**super().artifacts(), "trees": trees}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        super().use_artifacts(artifacts)
        if "trees" in artifacts:
            if find_spec("lightgbm") is None:
                raise MissingDependencyError("lightgbm", "trees")
            import lightgbm as lgb

            self._booster = lgb.Booster(model_str=artifacts["trees"].state["text"])
