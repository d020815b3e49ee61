"""Base of rerankers: a matcher that is fitted first, vectors and attributes of its candidates, saving."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Capabilities, InputSpec, Matcher, Requirements, Reranker
from palate.contracts.parse import parse_model, with_settings
from palate.core.batch import IntArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.data.catalog import Catalog
from palate.data.views import TrainView
from palate.features.item_groups import ItemGroups
from palate.models.base import Recommender
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.compared_vectors import content_vectors, matcher_vectors
from palate.models.rerank.shared.config import RerankConfig, VectorRerankConfig
from palate.models.rerank.shared.scorer import RerankScorer
from palate.ranking.scorer import Scorer
from palate.training.fit import fit_member


class ListReranker(Recommender, Reranker):
    """A reranker of the lists of ``base``.

    Subclasses give :meth:`choose`; those that read attributes also ``reads_columns = True`` and :meth:`read_columns`.

    Attributes:
        reads_columns: whether it reads attributes.
        base: the matcher.
        groups: attribute column -> values of each item.
    """

    task_name: ClassVar[str] = "rerank"
    stage: ClassVar[str] = "rerank"
    reads_columns: ClassVar[bool] = False
    Config = RerankConfig
    config: RerankConfig
    content: NDArray[np.float32] | None = None
    chosen: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__(config, **settings)
        base = parse_model(self.config.base)
        if not isinstance(base, Matcher) or isinstance(base, Reranker):
            raise ConfigError("lists come from a matcher", key="base", hint=f"{base.name} is for {base.task_name}")
        self.base = base
        self.groups: dict[str, ItemGroups] = {}
        able, needs, reads = base.capabilities, base.requirements, bool(self.feature)
        self.capabilities = Capabilities(  # type: ignore[misc]
            able.new_items, able.new_users, able.missing_modalities, able.content or reads
        )
        self.requirements = Requirements(needs.content or reads, needs.dense, needs.fields)  # type: ignore[misc]

    @property
    def feature(self) -> str:
        """Content feature that items are compared by; empty for the item vectors of the matcher."""
        return self.config.vectors if isinstance(self.config, VectorRerankConfig) else ""

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        """Choose and order candidates.

        Args:
            lists: candidates.
            k: length of the new lists.

        Returns:
            int64 [lists, k or fewer], positions; -1 where candidates ran out.

        Raises:
            NotImplementedError: in a subclass that does not give it.
        """
        raise NotImplementedError

    def read_columns(self, items: Catalog) -> None:
        """Read attributes into :attr:`groups`; called before training and whenever the catalogue changes.

        Args:
            items: the catalogue; in training without what is hidden.
        """

    def build(self, shape: InputSpec) -> None:
        super().build(shape)
        if self.base.input_spec is None:
            self.base.build(shape)

    def setup(self, train: TrainView, run: RunContext) -> None:
        self.base = parse_model(self.config.base)  # type: ignore[assignment]
        super().setup(train, run)
        if self.reads_columns:
            self.read_columns(train.items_table)
        self.use_content(train.features)

    def solve(self, train: TrainView, run: RunContext) -> bool:
        self.chosen = fit_member(self.base, train, run.member("base"))
        return True

    def selected_settings(self) -> dict[str, Any]:
        """The matcher with what it chose on validation, so that a refit has it."""
        return {"base": with_settings(self.config.base, self.chosen)}

    def members(self) -> Mapping[str, Matcher]:
        return {self.base.name: self.base}

    def on_fit_end(self) -> None:
        self.base.on_fit_end()

    def meet_catalog(self, items: Catalog) -> None:
        if self.reads_columns:
            self.read_columns(items)

    def update_items(self, features: ItemFeatures) -> None:
        self.base.update_items(features)
        self.use_content(features)

    def use_content(self, features: Mapping[str, Features]) -> None:
        """Take the vectors that items are compared by, where they are those of a content feature.

        Args:
            features: content by name.
        """
        if self.feature:
            self.content = content_vectors(features, self.feature)

    def compare_by(self, feature: str) -> None:
        """Compare items by a content feature from now on.

        Args:
            feature: its name.
        """
        self.config = self.config.model_copy(update={"vectors": feature})

    def find_vectors(self, first: Scorer, features: Mapping[str, Features]) -> None:
        """Compare items by the first pooled feature, where the first stage has no vectors and none is named.

        Args:
            first: scorer of the first stage.
            features: content by name.
        """
        if self.feature or not isinstance(self.config, VectorRerankConfig):
            return
        pooled = [name for name, one in features.items() if one.kind == "pooled"]
        if pooled and type(first).item_vectors is Scorer.item_vectors:
            self.compare_by(pooled[0])
            self.use_content(features)

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

    def rerank(self, ids: IntArray, scores: NDArray[np.float32], k: int, users: UserBatch | None = None) -> IntArray:
        return self.reorder(ids, scores, k, users, self.item_vectors_of(self.base.scorer()))

    def scorer(self) -> Scorer:
        first = self.base.scorer()
        vectors = self.item_vectors_of(first)
        sizes = [len(groups) for groups in self.groups.values()] if vectors is None else [vectors.shape[1]]
        return RerankScorer(self, self.base.name, first, self.config.depth, vectors, max(sizes, default=1))

    def reorder(
        self,
        ids: IntArray,
        scores: NDArray[np.float32],
        k: int,
        users: UserBatch | None,
        item_vectors: NDArray[np.float32] | None,
    ) -> IntArray:
        """Reorder candidates whose vectors are at hand, see :meth:`rerank`.

        Args:
            ids: int64 [lists, n], item rows, -1 where a list is shorter.
            scores: float32 [lists, n], of the first stage.
            k: length of the new lists.
            users: whose lists they are.
            item_vectors: float32 [n_items, d], of :meth:`item_vectors_of`.

        Returns:
            int64 [lists, k or fewer], positions.
        """
        known = ids >= 0
        filled = np.where(known, scores, 0).astype(np.float32)
        return self.choose(CandidateLists(np.maximum(ids, 0), known, filled, users, item_vectors, self.groups), k)

    def item_vectors_of(self, first: Scorer) -> NDArray[np.float32] | None:
        """Vectors that items are compared by: float32 [n_items, d]; None for a reranker that compares none.

        Args:
            first: scorer of the matcher.

        Raises:
            UnsupportedError: if the matcher has no item vectors, and no content feature is named.
        """
        if not isinstance(self.config, VectorRerankConfig):
            return None
        name = self.base.name if "base" in self._modules else "the matcher"
        return self.content if self.feature else matcher_vectors(first, name)
