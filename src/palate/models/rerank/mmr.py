"""MMR (Carbonell & Goldstein, SIGIR 1998): the lists of a matcher, reordered so that items differ from each other.

The formula is in palate.ranking.mmr; items are compared by the item vectors of the matcher.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, InputSpec, Matcher, Requirements, Reranker, models
from palate.contracts.parse import parse_model
from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.data.views import TrainView
from palate.models.base import Recommender
from palate.ranking.mmr import mmr_lists
from palate.ranking.scorer import Scorer
from palate.training.fit import fit_member


@models.register("mmr")
class MMR(Recommender, Reranker):
    """Relevant items that differ from those before them."""

    name = "mmr"
    paper = "Carbonell & Goldstein, The Use of MMR, Diversity-Based Reranking, SIGIR 1998"
    task_name = "rerank"
    stage = "rerank"

    class Config(ModelConfig):
        """Settings."""

        base: str = Field("bpr", description="matcher whose lists are reordered: name@preset:key=value")
        diversity: float = Field(
            0.3, ge=0, le=1, description="from 0 (by relevance) to 1", json_schema_extra={"search": "0.0..0.8"}
        )
        depth: int = Field(100, ge=2, description="candidates of a list at least")

    config: Config

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        base = parse_model(self.config.base)
        if not isinstance(base, Matcher) or isinstance(base, Reranker):
            raise ConfigError("lists come from a matcher", key="base", hint=f"{base.name} is for {base.task_name}")
        self.base = base
        able = base.capabilities
        self.capabilities = Capabilities(able.new_items, able.new_users, able.missing_modalities, able.content)  # type: ignore[misc]
        self.requirements = Requirements(base.requirements.content, base.requirements.dense, base.requirements.fields)  # type: ignore[misc]

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        if self.base.input_spec is None:
            self.base.build(shape)

    def setup(self, train: TrainView, run: RunContext) -> None:
        self.base = parse_model(self.config.base)  # type: ignore[assignment]
        super().setup(train, run)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        fit_member(self.base, train, run.member("base"))
        return True

    def members(self) -> Mapping[str, Matcher]:
        return {self.base.name: self.base}

    def on_fit_end(self) -> None:
        self.base.on_fit_end()

    def update_items(self, features: ItemFeatures) -> None:
        self.base.update_items(features)

    def user_tensors(self) -> dict[str, slice]:
        return {f"base.{name}": rows for name, rows in self.base.user_tensors().items()}

    def training_tensors(self) -> set[str]:
        return {f"base.{name}" for name in self.base.training_tensors()}

    def extra_state(self) -> dict[str, Any]:
        spec = self.base.input_spec
        return {"base": self.base.extra_state(), "features": dict(spec.features) if spec else {}}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        assert self.input_spec is not None
        self.base.build(InputSpec(self.input_spec.n_users, self.input_spec.n_items, state["features"]))
        self.base.load_extra_state(state["base"])

    def rerank(self, ids: IntArray, scores: NDArray[np.float32], k: int) -> IntArray:
        return self._rerank(ids, scores, k, self._vectors(self.base.scorer()))

    def scorer(self) -> Scorer:
        return RerankScorer(self)

    def _vectors(self, scorer: Scorer) -> Tensor:
        try:
            return scorer.item_vectors()
        except UnsupportedError:
            raise UnsupportedError(
                f"{self.base.name} has no item vectors to compare items by", key="base", hint="a matcher with vectors"
            ) from None

    def _rerank(self, ids: IntArray, scores: NDArray[np.float32], k: int, vectors: Tensor) -> IntArray:
        known = ids >= 0
        looks = vectors[torch.from_numpy(np.maximum(ids, 0))].float().cpu().numpy() * known[:, :, None]
        return mmr_lists(np.where(known, scores, 0), looks, k, self.config.diversity, known)


class RerankScorer(Scorer):
    """Lists of the first stage in their new order; it gives no scores of arbitrary items.

    Args:
        model: fitted.
    """

    CHUNK = 256

    def __init__(self, model: MMR) -> None:
        self.first = model.base.scorer()
        super().__init__(self.first.n_items)
        self.model, self.vectors = model, model._vectors(self.first)

    @property
    def can_score(self) -> bool:
        """No: the order of a list depends on what else is in it."""
        return False

    def members(self) -> Mapping[str, Scorer]:
        return {self.model.base.name: self.first}

    def scorable(self) -> NDArray[np.bool_]:
        return self.first.scorable()

    def topk(
        self, users: UserBatch, k: int, exclude: RaggedArray | None = None, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[IntArray, NDArray[np.float32]]:
        """New lists; scores are those of the first stage."""
        lists, values = [], []
        for start in range(0, len(users), self.CHUNK):
            rows = np.arange(start, min(start + self.CHUNK, len(users)))
            out = None if exclude is None else exclude.take(rows)
            ids, scores = self.first.topk(users.take(rows), max(k, self.model.config.depth), out, allowed)
            order = self.model._rerank(ids, scores, k, self.vectors)
            some = np.maximum(order, 0)
            lists.append(np.where(order >= 0, np.take_along_axis(ids, some, 1), -1))
            values.append(np.where(order >= 0, np.take_along_axis(scores, some, 1), -np.inf).astype(np.float32))
        if not lists:
            return np.zeros((0, k), np.int64), np.zeros((0, k), np.float32)
        ids, scores = np.concatenate(lists), np.concatenate(values)
        short = k - ids.shape[1]
        if short > 0:
            ids = np.pad(ids, ((0, 0), (0, short)), constant_values=-1)
            scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        return ids, scores
