"""Terms to a sparse tf-idf matrix, and a sparse matrix to few dense columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import FeatureError
from palate.core.files import digest
from palate.core.seeding import rng_for

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FEW = 4096
"""Counts that are looked up one by one."""
Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Row, column and count of terms of the vocabulary, by row and column."""
COUNTS = {"row": pl.Int64, "term": pl.String, "count": pl.Int64}


@dataclass(frozen=True, eq=False)
class TfIdf:
    """A vocabulary with inverse document frequencies, sublinear counts and L2-normed rows.

    Weight of term t in row d: ``(1 + ln tf) * (ln((1 + N) / (1 + df)) + 1)``, rows scaled to length 1
    (Manning, Raghavan and Schuetze, *Introduction to Information Retrieval*, 2008, 6.4).
    """

    terms: list[str]
    idf: NDArray[np.float64]

    @classmethod
    def fit(cls, counts: pl.DataFrame, n_rows: int, min_df: int, max_df: float, max_terms: int) -> TfIdf:
        """Learn from ``counts`` (row, term, count); the most frequent ``max_terms`` terms stay, in sorted order."""
        df = counts.group_by("term").len("df").filter((pl.col("df") >= min_df) & (pl.col("df") <= max_df * n_rows))
        if not len(df):
            # On tiny data every term can be too rare or too common; then all of them are better than none.
            df = counts.group_by("term").len("df")
        df = df.sort(["df", "term"], descending=[True, False]).head(max_terms).sort("term")
        idf = np.log((1 + n_rows) / (1 + df["df"].to_numpy())) + 1
        return cls(df["term"].to_list(), idf)

    def matrix(self, counts: pl.DataFrame, n_rows: int) -> csr_matrix:
        """CSR float32 [n_rows, terms]; unknown terms are left out."""
        from scipy.sparse import csr_matrix

        rows, columns, times = self._few(counts) if len(counts) <= FEW else self._many(counts)
        values = (1 + np.log(times)) * self.idf[columns]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int64)
        norms = np.sqrt(_row_sums(values * values, indptr))
        values = values / np.repeat(np.where(norms == 0, 1, norms), np.diff(indptr))
        return csr_matrix((values.astype(np.float32), columns, indptr), shape=(n_rows, len(self.terms)))

    def _many(self, counts: pl.DataFrame) -> Found:
        index = pl.DataFrame(
            {"term": self.terms, "column": np.arange(len(self.terms))}, schema_overrides={"term": pl.String}
        )
        found = counts.join(index, on="term", how="inner").sort(["row", "column"])
        return found["row"].to_numpy(), found["column"].to_numpy(), found["count"].to_numpy()

    def _few(self, counts: pl.DataFrame) -> Found:
        """The same without a join, whose start alone takes longer than to look up a few terms."""
        columns = np.array([self._place.get(term, -1) for term in counts["term"].to_list()], np.int64)
        rows, times = counts["row"].to_numpy(), counts["count"].to_numpy()
        order = np.lexsort((columns, rows))
        order = order[columns[order] >= 0]
        return rows[order], columns[order], times[order]

    @cached_property
    def _place(self) -> dict[str, int]:
        return {term: column for column, term in enumerate(self.terms)}


def _row_sums(values: NDArray[np.float64], indptr: NDArray[np.int64]) -> NDArray[np.float64]:
    out = np.zeros(len(indptr) - 1)
    filled = np.diff(indptr) > 0
    if filled.any():
        out[filled] = np.add.reduceat(values, indptr[:-1][filled])
    return out


def leading_directions(matrix: csr_matrix, dim: int, rounds: int = 4) -> NDArray[np.float32]:
    """Right singular vectors [columns, min(dim, rank)] of the ``dim`` largest singular values.

    Randomised subspace iteration with orthonormalisation (Halko, Martinsson and Tropp, 2011), from a fixed start;
    the entry of largest magnitude of every vector is positive.
    """
    n, m = matrix.shape
    width = min(dim + 16, n, m)
    wide = matrix.astype(np.float64)
    basis = _orthonormal(wide @ rng_for(0, "tfidf", "svd").standard_normal((m, width)))
    for _ in range(rounds):
        basis = _orthonormal(wide @ (wide.T @ basis))
    small = np.asarray(wide.T @ basis)
    value, vector = np.linalg.eigh(small.T @ small)
    order = np.argsort(-value, kind="stable")[:dim]
    order = order[value[order] > 1e-10 * max(float(value.max()), 1e-300)]
    right = small @ (vector[:, order] / np.sqrt(value[order]))
    peak = np.take_along_axis(right, np.abs(right).argmax(0)[None], 0)
    return np.ascontiguousarray(right * np.where(peak < 0, -1.0, 1.0), np.float32)


def _orthonormal(tall: NDArray[np.float64]) -> NDArray[np.float64]:
    """An orthonormal basis of the columns, through the small Gram matrix, twice for accuracy (4x faster than QR)."""
    for _ in range(2):
        value, vector = np.linalg.eigh(tall.T @ tall)
        kept = value > 1e-14 * max(float(value.max()), 1e-300)
        tall = tall @ (vector[:, kept] / np.sqrt(value[kept]))
    return tall


@dataclass(eq=False)
class TermSpace:
    """tf-idf and, when the vocabulary is wider than ``dim``, its projection on the leading singular directions.

    A vocabulary of at most ``dim`` terms is kept exactly, one column a term.
    """

    dim: int
    weights: TfIdf
    directions: NDArray[np.float32] | None

    @classmethod
    def fit(cls, counts: pl.DataFrame, n_rows: int, dim: int, min_df: int, max_df: float, max_terms: int) -> TermSpace:
        """Learn vocabulary and directions."""
        if not len(counts):
            raise FeatureError("nothing to fit on: no term in any row", hint="give rows with content")
        weights = TfIdf.fit(counts, n_rows, min_df, max_df, max_terms)
        if len(weights.terms) <= dim:
            return cls(dim, weights, None)
        return cls(dim, weights, leading_directions(weights.matrix(counts, n_rows), dim))

    @property
    def width(self) -> int:
        """Columns of :meth:`dense`."""
        return len(self.weights.terms) if self.directions is None else self.directions.shape[1]

    def dense(self, counts: pl.DataFrame, n_rows: int) -> NDArray[np.float32]:
        """float32 [n_rows, width]; rows without a known term are zero."""
        matrix = self.weights.matrix(counts, n_rows)
        if self.directions is None:
            return np.asarray(matrix.toarray(), np.float32)
        return np.asarray(matrix @ self.directions, np.float32)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """Arrays and facts for :meth:`from_state`."""
        arrays: dict[str, NDArray[np.generic]] = {"idf": self.weights.idf}
        if self.directions is not None:
            arrays["directions"] = self.directions
        return arrays, {"terms": self.weights.terms}

    @classmethod
    def from_state(cls, dim: int, arrays: Mapping[str, NDArray[Any]], facts: Mapping[str, Any]) -> TermSpace:
        """Restore exactly."""
        directions = arrays.get("directions")
        weights = TfIdf(list(facts["terms"]), np.asarray(arrays["idf"], np.float64))
        if len(weights.terms) != len(weights.idf):
            raise FeatureError(f"{len(weights.terms)} terms but {len(weights.idf)} frequencies")
        return cls(dim, weights, None if directions is None else np.asarray(directions, np.float32))


def counts_hash(counts: pl.DataFrame, n_rows: int) -> str:
    """Hash of what a term space is fitted on."""
    ordered = counts.sort(["row", "term"])
    numbers = ordered.select("row", "count").to_numpy().astype("<i8").tobytes()
    return digest(str(n_rows), numbers, "\x1f".join(ordered["term"].to_list()))
