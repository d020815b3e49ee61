"""tf-idf matrices of terms, and their projection on few dense columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.errors import FeatureError, NoContentError
from palate.core.files import digest
from palate.core.seeding import rng_for

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

MAX_LOOKUPS = 4096
"""Counts that are looked up one by one at most; more are joined."""
Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
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
        """Learn a vocabulary, in sorted order, and its frequencies.

        Args:
            counts: columns row, term, count.
            n_rows: rows, those without terms included.
            min_df: rows that a term must occur in.
            max_df: share of rows above which a term is left out.
            max_terms: only the most frequent terms stay.
        """
        df = counts.group_by("term").len("df").filter((pl.col("df") >= min_df) & (pl.col("df") <= max_df * n_rows))
        if not len(df):
            # On tiny data every term can be too rare or too common; then all of them are better than none.
            df = counts.group_by("term").len("df")
        df = df.sort(["df", "term"], descending=[True, False]).head(max_terms).sort("term")
        idf = np.log((1 + n_rows) / (1 + df["df"].to_numpy())) + 1
        return cls(df["term"].to_list(), idf)

    def matrix(self, counts: pl.DataFrame, n_rows: int) -> csr_matrix:
        """Weights of terms.

        Args:
            counts: columns row, term, count; unknown terms are left out.
            n_rows: rows, those without terms included.

        Returns:
            CSR float32 [n_rows, terms].
        """
        from scipy.sparse import csr_matrix

        rows, columns, times = self._look_up(counts) if len(counts) <= MAX_LOOKUPS else self._join(counts)
        values = (1 + np.log(times)) * self.idf[columns]
        indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=n_rows))]).astype(np.int64)
        norms = np.sqrt(_row_sums(values * values, indptr))
        values = values / np.repeat(np.where(norms == 0, 1, norms), np.diff(indptr))
        return csr_matrix((values.astype(np.float32), columns, indptr), shape=(n_rows, len(self.terms)))

    def _join(self, counts: pl.DataFrame) -> Entries:
        index = pl.DataFrame(
            {"term": self.terms, "column": np.arange(len(self.terms))}, schema_overrides={"term": pl.String}
        )
        known = counts.join(index, on="term", how="inner").sort(["row", "column"])
        return known["row"].to_numpy(), known["column"].to_numpy(), known["count"].to_numpy()

    def _look_up(self, counts: pl.DataFrame) -> Entries:
        """The same without a join, which takes longer to start than a few terms take to look up."""
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
    """Right singular vectors of the largest singular values.

    Randomised subspace iteration with orthonormalisation (Halko, Martinsson and Tropp, 2011), from a fixed start;
    the entry of largest magnitude of every vector is positive.

    Args:
        matrix: CSR [rows, columns].
        dim: vectors at most.
        rounds: of subspace iteration.

    Returns:
        float32 [columns, min(dim, rank)].
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
        """Learn vocabulary and directions.

        Args:
            counts: columns row, term, count.
            n_rows: rows, those without terms included.
            dim: width at most.
            min_df: rows that a term must occur in.
            max_df: share of rows above which a term is left out.
            max_terms: vocabulary at most.

        Raises:
            NoContentError: if no row has a term.
        """
        if not len(counts):
            raise NoContentError("nothing to fit on: no term in any row", hint="give rows with content")
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
        """Restore what :meth:`state` returned.

        Args:
            dim: width at most.
            arrays: as returned.
            facts: as returned.

        Raises:
            FeatureError: if they do not fit each other.
        """
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
