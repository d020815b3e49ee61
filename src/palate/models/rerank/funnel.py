"""The funnel: a matcher nominates, a ranker scores what it nominated, a reranker orders what is shown.

Match: the best ``depth`` of the catalogue. Rank: P(positive) of each by a click model, which reads the matcher's score
and place beside its own fields; the best ``kept`` go on. Rerank: an order of the whole list. The ranker learns from
lists of a second matcher of the same settings, which did not see the newest ``held`` of each user's positives; these
are the labels (out of fold: scores of a matcher that saw a label would tell it). It is validated on the serving
matcher's lists for the validation questions. Counters are of positives alone, as histories are. A reranker that
compares items takes the matcher's vectors or, where it has none, the first content feature.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field

from palate.contracts import Capabilities, InputSpec, Matcher, Ranker, Requirements, Reranker, models
from palate.contracts.parse import parse_model, with_settings
from palate.core.artifacts import Artifact
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.views import TrainView
from palate.models.base import Recommender
from palate.models.rerank.shared.config import VectorRerankConfig
from palate.models.rerank.shared.funnel_scorer import FunnelScorer
from palate.models.rerank.shared.held_lists import hold_out
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.models.rerank.shared.ranked_lists import learning_view, positive_events
from palate.ranking.scorer import Scorer
from palate.training.fit import fit_member

StageName = Literal["match", "rank", "rerank"]
METRIC = "ndcg@10"
"""What a ranker is selected on: it is one of the metrics of rankings of lists."""


@models.register("funnel")
class Funnel(Recommender, Reranker):
    """Match, rank and rerank as one."""

    name = "funnel"
    paper = (
        "own; the stages are those of Covington et al., Deep Neural Networks for YouTube Recommendations, RecSys 2016"
    )
    task_name = "rerank"
    stage = "rerank"

    class Config(ModelConfig):
        """Settings."""

        match: str = Field("blend", description="matcher that nominates: name@preset:key=value")
        rank: str = Field("", description="ranker that scores candidates; empty keeps the matcher's order")
        rerank: str = Field("", description="reranker that orders the list; empty keeps the ranker's order")
        depth: int = Field(200, ge=2, description="candidates that the matcher nominates at least")
        kept: int = Field(50, ge=1, description="candidates that the reranker chooses from at least")
        held: float = Field(0.2, gt=0, lt=1, description="share of each user's positives that the ranker learns from")

    config: Config
    last: StageName = "rerank"

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        self.match: Matcher = _made(self.config.match, Matcher, "match")
        if isinstance(self.match, Reranker):
            raise ConfigError("the first stage is a matcher", key="match", hint=f"{self.match.name} is for rerank")
        self.ranker: Ranker | None = _made(self.config.rank, Ranker, "rank") if self.config.rank else None
        self.reranker: ListReranker | None = None
        if self.config.rerank:
            self.reranker = _made(self.config.rerank, ListReranker, "rerank")
            if type(self.reranker).solve is not ListReranker.solve:
                raise ConfigError(f"{self.reranker.name} learns from lists of its own matcher", key="rerank",
                                  hint=f"use it alone: {self.reranker.name}:base=...")  # fmt: skip
            # its lists come from the stages before it
            del self.reranker.base
        parts = [one for one in (self.match, self.ranker) if one is not None]
        reads = bool(self.reranker is not None and self.reranker.feature)
        able = self.match.capabilities
        compares = self.reranker is not None and isinstance(self.reranker.config, VectorRerankConfig)
        content = compares or any(one.capabilities.content for one in parts)
        self.capabilities = Capabilities(able.new_items, able.new_users, able.missing_modalities, content)  # type: ignore[misc]
        needs = self.match.requirements
        self.requirements = Requirements(needs.content or reads, needs.dense, needs.fields)  # type: ignore[misc]

    def through(self, stage: StageName) -> Self:
        """The same funnel that ends earlier, to judge what each stage adds.

        Args:
            stage: the last one that is run.
        """
        shorter = copy.copy(self)
        shorter.last = stage
        return shorter

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        if self.match.input_spec is None:
            self.match.build(shape)

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        if self.reranker is not None:
            self.reranker.read_columns(train.items_table)
            self.reranker.use_content(train.features)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        self._chosen = {"match": with_settings(self.config.match, fit_member(self.match, train, run.member("match")))}
        if self.reranker is not None:
            self.reranker.find_vectors(self.match.scorer(), train.features)
        if self.ranker is None:
            return True
        kept, held = hold_out(train, self.config.held, run.seed)
        first: Matcher = _made(self._chosen["match"], Matcher, "match")
        fit_member(first, kept, run.member("held"))
        view = learning_view(train, kept, held, first.scorer(), self.match.scorer(), self.config.depth)
        chosen = fit_member(self.ranker, view, run.member("rank", METRIC))
        self._chosen["rank"] = with_settings(self.config.rank, chosen)
        self.ranker.know(positive_events(train.users, train.items, train.times))
        return True

    def selected_settings(self) -> dict[str, Any]:
        return dict(self._chosen)

    def members(self) -> Mapping[str, Any]:
        parts = {"match": self.match, "rank": self.ranker, "rerank": self.reranker}
        return {name: part for name, part in parts.items() if part is not None}

    def on_fit_end(self) -> None:
        self.match.on_fit_end()
        if self.ranker is not None:
            self.ranker.on_fit_end()

    def meet_catalog(self, items: Catalog) -> None:
        if self.reranker is not None and self.reranker.reads_columns:
            self.reranker.read_columns(items)

    def update_items(self, features: ItemFeatures) -> None:
        self.match.update_items(features)
        if self.ranker is not None:
            self.ranker.update_items(features)
        if self.reranker is not None:
            self.reranker.use_content(features)

    def user_tensors(self) -> dict[str, slice]:
        return {f"match.{name}": rows for name, rows in self.match.user_tensors().items()}

    def training_tensors(self) -> set[str]:
        return {f"match.{name}" for name in self.match.training_tensors()}

    def extra_state(self) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, part in (("match", self.match), ("rank", self.ranker)):
            if part is not None and part.input_spec is not None:
                spec = part.input_spec
                shape = {"features": dict(spec.features), "fields": dict(spec.fields)}
                kept[name] = {"state": part.extra_state(), **shape}
        return kept | {"vectors": self.reranker.feature if self.reranker is not None else ""}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        assert self.input_spec is not None
        for name, part in (("match", self.match), ("rank", self.ranker)):
            if part is not None:
                kept = state[name]
                sizes = (self.input_spec.n_users, self.input_spec.n_items)
                part.build(InputSpec(*sizes, kept["features"], kept["fields"]))
                part.load_extra_state(kept["state"])
        if self.reranker is not None and state["vectors"]:
            self.reranker.compare_by(state["vectors"])

    def artifacts(self) -> Mapping[str, Artifact]:
        return {} if self.ranker is None else self.ranker.artifacts()

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        if self.ranker is not None:
            self.ranker.use_artifacts(artifacts)

    def scorer(self) -> Scorer:
        ranker = None if self.last == "match" else self.ranker
        reranker = self.reranker if self.last == "rerank" else None
        return FunnelScorer(self.match.scorer(), ranker, reranker, self.config.depth, self.config.kept)


def _made(text: str, kind: type[Any], key: str) -> Any:
    """An unfitted model of a kind."""
    model = parse_model(text)
    if not isinstance(model, kind):
        raise ConfigError(f"{model.name} is for {model.task_name}", key=key, hint=f"name a model for {key}")
    return model
