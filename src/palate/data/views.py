"""What training may see (:class:`TrainView`) and what evaluation asks (:class:`EvaluationQueries`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray, UserBatch
from palate.core.content import Features

from .relations import Relations
from .searches import Searches

Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class EvaluationQueries:
    """Questions with known answers: for these users, which items?

    Attributes:
        users: what is known of each user (row in the training table or -1, history).
        relevant: the answers, one list a user, never empty.
        exclude: items taken out of the candidates for each user.
        candidates: bool [n_items], or None when every item is a candidate.
    """

    users: UserBatch
    relevant: RaggedArray
    exclude: RaggedArray
    candidates: Bools | None = None

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: IntArray) -> EvaluationQueries:
        """Only these questions."""
        return EvaluationQueries(
            self.users.take(rows), self.relevant.take(rows), self.exclude.take(rows), self.candidates
        )


@dataclass(frozen=True, eq=False)
class TrainView:
    """Everything a trainer or a search may see; it holds no test part.

    Attributes:
        users, items: int64 [n], the training positives. times: int64 [n] or None.
        visible_items: bool [n_items], items whose content may be seen.
        features: content by name, rows outside ``visible_items`` absent.
        fields: content of single columns by name, for models that weigh columns; masked likewise.
        sources: modalities that each feature and field is made of.
        relations: edges among visible items.
        all_features: content of all items, for answering validation questions about items hidden in fitting; it is
            handed to :meth:`Model.update_items` as a new item's content would be, and never read in training.
        searches: queries that led to training positives, None where nobody's are known. asked: what the reader of texts
            made of their queries, for models that need them.
        valid: validation questions, None in a refit.
        seed: seeds everything random in training.
    """

    n_users: int
    n_items: int
    users: IntArray
    items: IntArray
    times: IntArray | None
    visible_items: Bools
    relations: Relations
    features: Mapping[str, Features] = field(default_factory=dict)
    fields: Mapping[str, Features] = field(default_factory=dict)
    all_features: Mapping[str, Features] = field(default_factory=dict)
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    valid: EvaluationQueries | None = None
    seed: int = 0
    searches: Searches | None = None
    query_features: Features | None = None

    def __len__(self) -> int:
        return len(self.users)

    def with_features(
        self, features: Mapping[str, Features], fields: Mapping[str, Features] | None = None
    ) -> TrainView:
        """This view with content; rows outside ``visible_items`` are hidden here, so no caller can forget to."""
        all_features = {**features, **(fields or {})}
        visible = {
            name: value if self.visible_items.all() else value.mask_rows(self.visible_items)
            for name, value in all_features.items()
        }
        main = {name: visible[name] for name in features}
        single = {name: visible[name] for name in fields or {}}
        return replace(self, features=main, fields=single, all_features=all_features)

    @cached_property
    def matrix(self) -> sp.csr_array:
        """float32 [n_users, n_items], ones at training positives."""
        ones = np.ones(len(self), np.float32)
        return sp.csr_array((ones, (self.users, self.items)), shape=(self.n_users, self.n_items))

    @cached_property
    def history(self) -> RaggedArray:
        """Training positives by user."""
        return RaggedArray.build(self.users, self.items, self.n_users, self.times)

    @cached_property
    def popularity(self) -> NDArray[np.int64]:
        """int64 [n_items], training positives by item."""
        return np.bincount(self.items, minlength=self.n_items)

    @cached_property
    def warm_items(self) -> Bools:
        """bool [n_items]: items with at least one training positive."""
        return self.popularity > 0

    @property
    def visible(self) -> dict[str, Features]:
        """All content that may be seen, features and fields."""
        return {**self.features, **self.fields}

    def sampled(self, users: int) -> TrainView:
        """This view with at most ``users`` validation questions, drawn by its seed."""
        if self.valid is None or len(self.valid) <= users:
            return self
        rows = np.sort(np.random.default_rng([self.seed, 7]).choice(len(self.valid), users, replace=False))
        return replace(self, valid=self.valid.take(rows))

    def user_batch(self, rows: IntArray) -> UserBatch:
        """Users of the training table with their training histories."""
        return UserBatch(rows, self.history.take(rows))
