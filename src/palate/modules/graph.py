"""Sparse graphs in CSR form and their construction from pairs; no dense matrix anywhere."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from palate.core.errors import DataError

Norm = Literal["sym", "row", "none"]


class Graph:
    """A weighted sparse matrix ``A`` [n_rows, n_cols]: row ``r`` receives from the columns it stores.

    Immutable and independent of the device: it is made on the CPU, and :meth:`on` caches one copy for each device and
    dtype, so a model may have it as a plain attribute (it is derived from data, never saved with the weights).

    Args:
        indptr: int32 [n_rows + 1].
        indices: [nnz].
        weights: float32 [nnz].
        n_cols: number of columns, by default the number of rows.
        symmetric: ``A == A.T``.

    Attributes:
        indptr: int32 [n_rows + 1] (int64 from 2^31 entries on), which halves the bytes that a product reads besides the
            rows.
        indices: [nnz], column numbers, as ``indptr``.
        weights: float32 [nnz].
        shape: (n_rows, n_cols).
        symmetric: ``A == A.T``, so that the backward pass reuses ``A`` itself.

    Raises:
        DataError: a rectangular graph is said to be symmetric.
    """

    def __init__(
        self, indptr: Tensor, indices: Tensor, weights: Tensor, n_cols: int | None = None, *, symmetric: bool = False
    ) -> None:
        self.indptr, self.indices, self.weights = indptr, indices, weights
        rows = len(indptr) - 1
        self.shape = (rows, rows if n_cols is None else n_cols)
        if symmetric and self.shape[0] != self.shape[1]:
            raise DataError(f"a graph of shape {self.shape} cannot be symmetric")
        self.symmetric = symmetric
        self._copies: dict[tuple[torch.device, torch.dtype], Graph] = {}
        self._transpose: Graph | None = self if symmetric else None

    @classmethod
    def from_scipy(cls, matrix: Any, *, symmetric: bool = False) -> Graph:
        """Make a graph of any scipy sparse matrix; duplicates are summed, stored zeros dropped.

        Args:
            matrix: [n_rows, n_cols].
            symmetric: ``matrix`` equals its transpose.
        """
        csr = sp.csr_array(matrix, dtype=np.float32)
        csr.sum_duplicates()
        csr.eliminate_zeros()
        index = np.int32 if max(csr.nnz, *csr.shape) < 2**31 else np.int64
        return cls(
            torch.from_numpy(csr.indptr.astype(index)),
            torch.from_numpy(csr.indices.astype(index)),
            torch.from_numpy(csr.data.astype(np.float32)),
            csr.shape[1],
            symmetric=symmetric,
        )

    @classmethod
    def from_pairs(
        cls,
        rows: ArrayLike,
        cols: ArrayLike,
        shape: tuple[int, int],
        weights: ArrayLike | None = None,
        *,
        symmetric: bool = False,
    ) -> Graph:
        """Make a graph of edges ``rows[e] <- cols[e]``.

        Args:
            rows: int [e].
            cols: int [e].
            shape: (n_rows, n_cols).
            weights: float [e]; duplicate edges are summed. Without weights duplicates count once, with weight 1.
            symmetric: also store every edge the other way round (a self-loop once).

        Raises:
            DataError: an index is outside ``shape``, the lengths differ, or a weight is not finite.
        """
        row, col = row_numbers(rows, shape[0], "rows"), row_numbers(cols, shape[1], "cols")
        value = np.ones(len(row), np.float32) if weights is None else np.asarray(weights, np.float32)
        if not len(row) == len(col) == len(value):
            raise DataError(f"{len(row)} rows, {len(col)} columns and {len(value)} weights for the same edges")
        if not np.isfinite(value).all():
            raise DataError("an edge weight is not finite", row=int(np.flatnonzero(~np.isfinite(value))[0]) + 1)
        matrix = sp.coo_array((value, (row, col)), shape=shape).tocsr()
        if weights is None:
            matrix.data[:] = 1
        if symmetric:
            matrix = matrix + matrix.T - sp.diags_array(matrix.diagonal())
            if weights is None:
                matrix.data[:] = np.minimum(matrix.data, 1)
        return cls.from_scipy(matrix, symmetric=symmetric)

    def __repr__(self) -> str:
        kind = "symmetric" if self.symmetric else "directed"
        return f"Graph({self.shape[0]} x {self.shape[1]}, {self.n_edges} edges, {kind})"

    @property
    def n_edges(self) -> int:
        """Stored entries; an undirected edge counts twice."""
        return len(self.indices)

    @property
    def degrees(self) -> Tensor:
        """Stored entries of each row, [n_rows]."""
        return self.indptr.diff()

    @property
    def transpose(self) -> Graph:
        """``A.T`` (itself when symmetric), computed once."""
        if self._transpose is None:
            self._transpose = Graph.from_scipy(self.to_scipy().T)
            self._transpose._transpose = self
        return self._transpose

    def to_scipy(self) -> Any:
        """The same matrix as a float32 ``scipy.sparse.csr_array``."""
        parts = self.weights.cpu().numpy(), self.indices.cpu().numpy(), self.indptr.cpu().numpy()
        return sp.csr_array(parts, shape=self.shape)

    def on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Graph:
        """This graph with its tensors on ``device`` and weights in ``dtype``; cached for the next call."""
        if self.weights.device == device and self.weights.dtype == dtype:
            return self
        key = (device, dtype)
        if key not in self._copies:
            moved = self.indptr.to(device), self.indices.to(device), self.weights.to(device, dtype)
            self._copies[key] = Graph(*moved, self.shape[1], symmetric=self.symmetric)
        return self._copies[key]

    def normalised(self, norm: Norm = "sym") -> Graph:
        """Scale weights by degrees (sums of weights); a row or column without weight stays empty.

        Args:
            norm: ``sym`` is D^-1/2 A D^-1/2: square graphs use row sums for both factors, also when directed (as
                LATTICE does for k-NN graphs), rectangular ones row sums on the left and column sums on the right.
                ``row`` is D^-1 A, rows sum to one. ``none`` leaves the weights.

        Raises:
            DataError: the weights of a node sum to less than zero.
        """
        if norm == "none":
            return self
        matrix = self.to_scipy().astype(np.float64)
        row_sum = np.asarray(matrix.sum(axis=1)).ravel()
        if norm == "row":
            return Graph.from_scipy(sp.diags_array(_power(row_sum, -1.0)) @ matrix)
        square = self.shape[0] == self.shape[1]
        col_sum = row_sum if square else np.asarray(matrix.sum(axis=0)).ravel()
        left, right = sp.diags_array(_power(row_sum, -0.5)), sp.diags_array(_power(col_sum, -0.5))
        return Graph.from_scipy(left @ matrix @ right, symmetric=self.symmetric)


def bipartite(
    users: ArrayLike,
    items: ArrayLike,
    n_users: int,
    n_items: int,
    edge_weight: ArrayLike | None = None,
    norm: Norm = "sym",
) -> Graph:
    """Make the user-item graph on ``n_users + n_items`` nodes, items after users.

    Args:
        users: int [e], rows of users.
        items: int [e], rows of items; repeated pairs count once unless weighted.
        n_users: number of users.
        n_items: number of items.
        edge_weight: float [e], at least 0; repeated pairs are summed.
        norm: ``sym`` is LightGCN's D^-1/2 A D^-1/2 (He et al., SIGIR 2020); ``row`` averages neighbours.

    Raises:
        DataError: a row number or a weight cannot be used.
    """
    user, item = row_numbers(users, n_users, "users"), row_numbers(items, n_items, "items")
    n = n_users + n_items
    return Graph.from_pairs(user, item + n_users, (n, n), edge_weight, symmetric=True).normalised(norm)


def user_item(
    users: ArrayLike,
    items: ArrayLike,
    n_users: int,
    n_items: int,
    edge_weight: ArrayLike | None = None,
    norm: Norm = "row",
) -> Graph:
    """Make the rectangular [n_users, n_items] graph; its ``.transpose`` carries user vectors to items.

    Args:
        users: int [e], rows of users.
        items: int [e], rows of items; repeated pairs count once unless weighted.
        n_users: number of users.
        n_items: number of items.
        edge_weight: float [e], at least 0; repeated pairs are summed.
        norm: ``row`` makes a user the mean of its items (LGMRec, AlignRec).

    Raises:
        DataError: a row number or a weight cannot be used.
    """
    return Graph.from_pairs(users, items, (n_users, n_items), edge_weight).normalised(norm)


def row_numbers(values: ArrayLike, size: int, name: str) -> NDArray[np.int64]:
    """Check row numbers.

    Args:
        values: int [e].
        size: rows of the table.
        name: of the argument, for the error.

    Returns:
        int64 [e].

    Raises:
        DataError: the values are not integers, or one is outside 0..size - 1.
    """
    rows = np.asarray(values)
    if rows.ndim != 1 or (len(rows) and rows.dtype.kind not in "iu"):
        raise DataError(f"expected a one-dimensional array of integers, got {rows.dtype} {rows.shape}", column=name)
    bad = np.flatnonzero((rows < 0) | (rows >= size))
    if len(bad):
        at = int(bad[0])
        raise DataError(f"row number {rows[at]} is outside 0..{size - 1}", column=name, row=at + 1)
    return rows.astype(np.int64)


def _power(degree: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    if (degree < 0).any():
        at = int(np.flatnonzero(degree < 0)[0])
        raise DataError("the edge weights of a node sum to less than zero, no normalisation exists", row=at + 1)
    return np.power(degree, exponent, where=degree > 0, out=np.zeros_like(degree))
