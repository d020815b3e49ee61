"""Directions of content that behaviour follows, beyond what categories tell.

    K2(i, j) = g(i, j) sum_d v_d phi_d(i) phi_d(j),  v >= 0
    v = argmin sum_ij (g a_i a_j)^2 (C_ij / (g a_i a_j) - b - sum_d v_d phi_d(i) phi_d(j))^2

phi are the frequent terms of word blocks and the principal directions of dense ones, each less what a ridge regression
on the category columns explains; g is the overall similarity of two items, C how often they are taken together, and
a_i a_j what popularity alone would predict. Directions whose moment may well be noise have no weight. One block's
similarity is the sum over all its directions, so those without any effect drown the few that matter; here each has its
own weight. A diagonal metric fitted to co-occurrence, our own choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.content import Features
from palate.models.match.shared.columns import Rows

TERMS = 300
"""Frequent terms of a word block that are directions of their own."""
PRINCIPAL = 60
"""Principal directions of a dense block."""
CATEGORIES = 256
"""Category columns at most whose part is taken out."""
RIDGE = 1.0
LEAST_SPREAD = 1e-3
SURE = 2.0
"""Standard errors above 0 that a direction's moment has to be."""
BLOCK = 16_384

Floats = NDArray[np.float64]


class BlockDirections(nn.Module):
    """phi of one block: chosen columns, centred and projected, less the part that categories explain.

    Args:
        kind: kind of the block, see :func:`palate.models.match.content_kernel.blocks.kind_of`.
        width: of the feature.
        categories: category columns whose part is taken out.
    """

    def __init__(self, kind: str, width: int, categories: int) -> None:
        super().__init__()
        self.kind = kind
        chosen = min(width, TERMS) if kind == "sparse" else width
        self.count = chosen if kind == "sparse" else min(width, PRINCIPAL)
        self.register_buffer("columns", torch.arange(chosen))
        self.register_buffer("mean", torch.zeros(chosen))
        self.register_buffer("project", torch.zeros(chosen, self.count))
        self.register_buffer("explained", torch.zeros(1 + categories, self.count))

    def fit(self, features: Features, rows: Rows, categories: Tensor) -> None:
        """Find the directions.

        Args:
            features: of all items.
            rows: int64 [n], items to fit on.
            categories: float32 [n, 1 + categories], their category columns after a one.
        """
        values = torch.from_numpy(features.values[rows].astype(np.float32))
        present = torch.from_numpy(features.present[rows])
        if int(present.sum()) < 2:
            return
        if self.kind == "sparse":
            widest = values[present].var(0, correction=0).argsort(descending=True, stable=True)[: self.count]
            self.get_buffer("columns").copy_(widest.sort().values)
        chosen = values[:, self.get_buffer("columns")]
        self.get_buffer("mean").copy_(chosen[present].mean(0))
        centred = (chosen - self.get_buffer("mean")) * present[:, None]
        gram = categories.T @ categories
        gram.diagonal().add_(RIDGE)
        part = torch.linalg.solve(gram, categories.T @ centred)
        rest = (centred - categories @ part) * present[:, None]
        project = self._directions(rest, rest[present].std(0, correction=0), len(rows))
        self.get_buffer("project").copy_(project)
        self.get_buffer("explained").copy_(part @ project)

    def _directions(self, rest: Tensor, spread: Tensor, n: int) -> Tensor:
        """float32 [columns, count]: unit columns of terms, or principal directions of the standardised rest."""
        if self.kind == "sparse":
            return torch.diag(1 / spread.clamp(min=LEAST_SPREAD))
        scale = 1 / spread.clamp(min=1e-6)
        scaled = (rest * scale).double()
        values, vectors = torch.linalg.eigh(scaled.T @ scaled)
        values, vectors = values.flip(0)[: self.count], vectors.flip(1)[:, : self.count]
        useful = values > 1e-6 * values[0].clamp(min=1e-12)
        whitened = vectors * torch.where(useful, (n / values.clamp(min=1e-12)).sqrt(), 0.0)
        project: Tensor = scale[:, None].double() * whitened
        return project.float()

    def read(self, features: Features, rows: Rows, categories: Tensor) -> Tensor:
        """phi float32 [n, count]; zero where the feature is missing.

        Args:
            features: of all items.
            rows: int64 [n], items.
            categories: float32 [n, 1 + categories], their category columns after a one.
        """
        values = torch.from_numpy(features.values[rows][:, self.get_buffer("columns").numpy()].astype(np.float32))
        own = (values - self.get_buffer("mean")) @ self.get_buffer("project")
        rest: Tensor = own - categories @ self.get_buffer("explained")
        return rest * torch.from_numpy(features.present[rows])[:, None]


class Directions(nn.Module):
    """phi of all blocks, and the weight of each direction.

    Args:
        widths: feature name -> width.
        kinds: feature name -> kind of its block.
        groups: width of groups that are taken out like categories.
    """

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str], groups: int = 0) -> None:
        super().__init__()
        self.categories = [name for name in widths if name.startswith("values_")]
        self.names = [name for name in widths if name not in self.categories and kinds[name] != "number"]
        kept = min(sum(widths[name] for name in self.categories), CATEGORIES)
        self.blocks = nn.ModuleList(BlockDirections(kinds[name], widths[name], kept + groups) for name in self.names)
        self.register_buffer("kept", torch.arange(kept))
        self.register_buffer("weights", torch.zeros(self.count))

    @property
    def count(self) -> int:
        """Number of directions D."""
        return sum(block.count for block in self._blocks())

    def fit_blocks(self, content: Mapping[str, Features], rows: Rows, groups: Tensor | None = None) -> None:
        """Fit phi.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items to fit on.
            groups: float32 [n, groups], taken out like categories.
        """
        if self.categories:
            frequent = np.concatenate([(content[name].values[rows] != 0).sum(0) for name in self.categories])
            columns = np.sort(np.argsort(-frequent, kind="stable")[: len(self.get_buffer("kept"))])
            self.get_buffer("kept").copy_(torch.from_numpy(columns))
        categories = self._category_columns(content, rows, groups)
        for name, block in zip(self.names, self._blocks()):
            block.fit(content[name], rows, categories)

    def fit_weights(
        self,
        phi: Tensor,
        sampled: tuple[Rows, Rows],
        mass: float,
        together: tuple[Rows, Rows, Floats],
    ) -> None:
        """Fit v.

        Args:
            phi: float32 [n, D].
            sampled: pairs of its rows, drawn in proportion to (g a_i a_j)^2.
            mass: the mean of (g a_i a_j)^2 over all pairs.
            together: the pairs of rows with C > 0, and C g a_i a_j divided by the number of all pairs.
        """
        mean, gram = _moments(phi, *sampled)
        one, two, weight = together
        moment = (_weighted(phi, one, two, weight) - mean * weight.sum()) / mass
        error = np.sqrt(_weighted(phi.square(), one, two, weight**2)) / mass
        spread = np.sqrt(np.maximum(np.diagonal(gram), 0))
        useful = np.flatnonzero((spread > 1e-6) & (moment > SURE * error))
        weights = np.zeros(len(mean))
        weights[useful] = fit_weights(gram[np.ix_(useful, useful)], moment[useful], spread[useful])
        self.get_buffer("weights").copy_(torch.from_numpy(weights))

    def read(self, content: Mapping[str, Features], rows: Rows, groups: Tensor | None = None) -> Tensor:
        """phi of all blocks, float32 [n, D].

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items.
            groups: float32 [n, groups], as in fitting.
        """
        categories = self._category_columns(content, rows, groups)
        phi = [block.read(content[name], rows, categories) for name, block in zip(self.names, self._blocks())]
        return torch.cat(phi or [categories[:, :0]], dim=1)

    def _category_columns(self, content: Mapping[str, Features], rows: Rows, groups: Tensor | None) -> Tensor:
        """float32 [n, 1 + kept + groups]: a one, the kept category columns, the groups."""
        parts = [torch.ones(len(rows), 1)]
        if self.categories:
            wide = np.concatenate([content[name].values[rows] for name in self.categories], axis=1)
            parts.append(torch.from_numpy(wide[:, self.get_buffer("kept").numpy()].astype(np.float32)))
        return torch.cat([*parts, *([] if groups is None else [groups])], dim=1)

    def _blocks(self) -> Sequence[BlockDirections]:
        return [block for block in self.blocks if isinstance(block, BlockDirections)]


def fit_weights(gram: Floats, moment: Floats, spread: Floats, ridge: float = 3e-3) -> Floats:
    """Non-negative least squares from moments, float64 [T].

    Args:
        gram: [T, T], covariance of the terms.
        moment: [T], covariance of the terms with the target.
        spread: [T], standard deviation of the terms.
        ridge: penalty on the weights of standardised terms.
    """
    if not len(spread):
        return spread
    # imported where it is used: scoring needs none of it, and it takes a third of a second
    from scipy.optimize import nnls

    scaled = gram / spread[:, None] / spread + ridge * np.eye(len(spread))
    try:
        factor = np.linalg.cholesky(scaled)
    except np.linalg.LinAlgError:
        # nearly constant terms: rounding left their covariance indefinite
        values, vectors = np.linalg.eigh(scaled)
        factor = vectors * np.sqrt(np.maximum(values, ridge))
    return np.asarray(nnls(factor.T, np.linalg.solve(factor, moment / spread))[0] / spread)


def _moments(phi: Tensor, a: Rows, b: Rows) -> tuple[Floats, Floats]:
    """Mean [D] and covariance [D, D] of phi(a) * phi(b) over the pairs."""
    total, square = torch.zeros(phi.shape[1], dtype=torch.float64), torch.zeros(phi.shape[1], phi.shape[1])
    square = square.double()
    for start in range(0, len(a), BLOCK):
        part = phi[a[start : start + BLOCK]] * phi[b[start : start + BLOCK]]
        total += part.sum(0)
        square += part.T @ part
    mean = (total / len(a)).numpy()
    return mean, (square / len(a)).numpy() - np.outer(mean, mean)


def _weighted(phi: Tensor, a: Rows, b: Rows, weight: Floats) -> Floats:
    """sum over pairs of weight * phi(a) * phi(b), float64 [D]."""
    total = torch.zeros(phi.shape[1], dtype=torch.float64)
    for start in range(0, len(a), BLOCK):
        stop = start + BLOCK
        part = phi[a[start:stop]] * phi[b[start:stop]]
        total += torch.from_numpy(weight[start:stop]).float() @ part
    return np.asarray(total.numpy())


def pair_moment(values: Tensor, a: Rows, b: Rows, weight: Floats) -> Tensor:
    """Sum over pairs of weight * values(a) values(b)^T, float64 [d, d].

    Args:
        values: [n, d].
        a: int64 [p], rows of ``values``.
        b: int64 [p], rows of ``values``.
        weight: [p].
    """
    out = torch.zeros(values.shape[1], values.shape[1], dtype=torch.float64)
    for start in range(0, len(a), BLOCK):
        stop = start + BLOCK
        scaled = values[a[start:stop]] * torch.from_numpy(weight[start:stop])[:, None]
        out += scaled.T @ values[b[start:stop]]
    return out
