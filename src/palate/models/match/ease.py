"""EASE (Steck, WWW 2019): a linear item-item model in closed form.

With G = X^T X + l2 I and P = G^-1, B = I - P / diag(P); score = X B. One dense items x items matrix is held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Capabilities, models
from palate.core.batch import IntArray, UserBatch
from palate.core.config import ModelConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.models.base import Recommender
from palate.models.match.shared.cost import say_cost
from palate.ranking.scorer import Scorer
from palate.training.selection import choose

if TYPE_CHECKING:
    from palate.data.views import TrainView


MATRICES = 3
"""Dense items x items matrices at the peak: X^T X, its inverse, and the weights of the scorer before."""


class ItemItemScorer(Scorer):
    """score = history row x weights.

    Args:
        weights: float32 [N, N].
        known: bool [N], items that can be scored.
    """

    def __init__(self, weights: Tensor, known: NDArray[np.bool_]) -> None:
        super().__init__(len(weights))
        self.weights, self.known = weights, known

    def score(self, users: UserBatch, items: IntArray | None = None) -> Tensor:
        table = self.weights if items is None else self.weights[:, torch.as_tensor(items)]
        history = users.history
        index = torch.as_tensor(history.items)
        if not len(index):
            return table.new_zeros(len(users), table.shape[1])
        return torch.nn.functional.embedding_bag(index, table, torch.as_tensor(history.indptr[:-1]), mode="sum")

    def scorable(self) -> NDArray[np.bool_]:
        return self.known


@models.register("ease")
class EASE(Recommender):
    """Closed-form item-item regression with a zero diagonal."""

    name = "ease"
    paper = "Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019"
    capabilities = Capabilities(new_users=True)
    deterministic = True

    class Config(ModelConfig):
        """Settings of EASE."""

        l2: float | None = Field(
            None,
            gt=0,
            description="regularisation; None chooses from grid on validation",
            json_schema_extra={"search": "10..2000:log"},
        )
        grid: tuple[float, ...] = Field((50.0, 100.0, 200.0, 400.0, 800.0), description="values of l2 tried")
        max_items: int = Field(25_000, description="larger catalogues are refused")

    config: Config

    def solve(self, train: TrainView, run: RunContext) -> bool:
        refuse_large(train.n_items, self.config.max_items, self.name)
        grid = self.config.grid if self.config.l2 is None else (self.config.l2,)
        tried = len(grid) if train.valid is not None and len(grid) > 1 else 0
        say_cost(self.name, train.n_items, MATRICES, tried + 1, inverse)
        gram = dense_gram(train.matrix)
        known = train.warm_items
        if tried:
            self._l2, _ = choose(train, grid, lambda l2: ItemItemScorer(ease_weights(gram, l2), known), run.metric)
        else:
            self._l2 = grid[0]
        self.register_buffer("weights", ease_weights(gram, self._l2))
        self.register_buffer("known", torch.from_numpy(known))
        return True

    def selected_settings(self) -> dict[str, Any]:
        return {"l2": self._l2}

    def scorer(self) -> Scorer:
        return ItemItemScorer(self.get_buffer("weights"), self.get_buffer("known").numpy())


def refuse_large(n_items: int, limit: int, name: str) -> None:
    """Refuse a catalogue for which a dense items x items matrix would be too large.

    Args:
        n_items: items of the catalogue.
        limit: items at most.
        name: of the model.

    Raises:
        ConfigError: with the size of the matrix.
    """
    if n_items > limit:
        raise ConfigError(
            f"{name} would hold a {n_items:,} x {n_items:,} matrix ({n_items**2 * 4 / 2**30:.1f} GiB)",
            key="max_items",
            hint="use lightgcn or item_knn, or raise max_items",
        )


def dense_gram(matrix: sp.csr_array) -> NDArray[np.float32]:
    """X^T X, float32 [N, N].

    Args:
        matrix: X, [users, N].
    """
    gram: NDArray[np.float32] = (matrix.T @ matrix).toarray().astype(np.float32)
    return gram


def inverse(gram: NDArray[np.float32], l2: float) -> Tensor:
    """(gram + l2 I)^-1, float32 [N, N], by Cholesky in LAPACK, in place on one copy; O(N^3) time.

    Args:
        gram: float32 [N, N], symmetric.
        l2: regularisation.

    Raises:
        ConfigError: if the matrix is not positive definite.
    """
    from scipy.linalg.lapack import spotrf, spotri

    regular = gram.T.copy(order="F")
    regular.flat[:: len(regular) + 1] += l2
    factor, failed = spotrf(regular, lower=1, overwrite_a=1, clean=0)
    if failed == 0:
        factor, failed = spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise ConfigError("the matrix cannot be inverted", key="l2", hint="raise l2")
    full = torch.from_numpy(factor.T)
    for start in range(0, len(full), 1024):
        rows = slice(start, start + 1024)
        full[start + 1024 :, rows] = full[rows, start + 1024 :].T
        block = full[rows, rows]
        full[rows, rows] = block.triu() + block.triu(1).T
    return full


def ease_weights(gram: NDArray[np.float32], l2: float) -> Tensor:
    """B of the paper, float32 [N, N].

    Args:
        gram: float32 [N, N], see :func:`dense_gram`.
        l2: regularisation.
    """
    weights = inverse(gram, l2)
    weights /= -weights.diagonal().clone()[None, :]
    weights.diagonal().zero_()
    return weights
