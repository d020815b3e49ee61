"""tf-idf of attributes: categories, lists and numbers, fitted on visible items."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import FeatureError
from palate.features.encoders.attribute_values import attribute_values, flat_attributes
from palate.features.encoders.term_space import COUNTS
from palate.features.encoders.tfidf import TermEncoder, check_term_options

_MIN_DISTINCT = 12


@encoders.register("tfidf_attributes")
class TfIdfAttributes(TermEncoder):
    """One term for each value of each attribute: ``genre=drama``.

    ``"A, B"``, ``"A|B"`` and lists are several values. An attribute whose values are numbers (at least 95 % of the
    fitted rows, and more than a dozen different ones) is cut into ``bins`` quantile bins twice, the second time
    shifted by half a bin, so that neighbours share a term. An attribute of texts of digits is one of codes.

    Args:
        dim: width of the dense vectors at most.
        min_df: rows that a term must occur in.
        max_df: share of rows above which a term is left out.
        max_terms: vocabulary at most.
        bins: quantile bins of numbers.

    Raises:
        ConfigError: for a value out of range of the vocabulary.
        FeatureError: for fewer than one bin.
    """

    name, modality, version = "tfidf_attributes", "attributes", 1

    def __init__(
        self, dim: int = 512, min_df: int = 2, max_df: float = 0.9, max_terms: int = 50_000, bins: int = 10
    ) -> None:
        check_term_options(dim, min_df, max_df, max_terms)
        if bins < 1:
            raise FeatureError(f"bins must be at least 1, not {bins}", key="bins")
        self.options: dict[str, Any] = {
            "dim": dim, "min_df": min_df, "max_df": max_df, "max_terms": max_terms, "bins": bins,
        }  # fmt: skip
        self.edges: dict[str, NDArray[np.float64]] = {}

    def read(self, raw: Raw) -> dict[str, list[str] | float] | None:
        if not isinstance(raw, Mapping):
            raise FeatureError(f"attributes expected as a mapping, not {type(raw).__name__}")
        values = {key: attribute_values(value) for key, value in flat_attributes(raw)}
        return {key: value for key, value in values.items() if value != []} or None

    def learn(self, contents: list[Any]) -> None:
        columns: dict[str, list[list[str] | float]] = {}
        for content in contents:
            for key, value in content.items():
                columns.setdefault(key, []).append(value)
        self.edges = {}
        for key, values in columns.items():
            numbers = np.array([number for value in values if (number := _number(value)) is not None])
            codes = 2 * sum(isinstance(value, float) for value in values) < len(values)
            if not codes and len(numbers) >= 0.95 * len(values) and len(np.unique(numbers)) > _MIN_DISTINCT:
                steps = np.arange(1, 2 * self.options["bins"]) / (2 * self.options["bins"])
                self.edges[key] = np.quantile(numbers, steps)

    def counts(self, contents: list[Any]) -> pl.DataFrame:
        times = Counter(
            (row, term)
            for row, content in enumerate(contents)
            for key, value in content.items()
            for term in self._terms(key, value)
        )
        rows, terms = [row for row, _ in times], [term for _, term in times]
        return pl.DataFrame({"row": rows, "term": terms, "count": list(times.values())}, schema=COUNTS)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        arrays, facts = super().state()
        return arrays, facts | {"edges": {key: edges.tolist() for key, edges in self.edges.items()}}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        super().load_state(arrays, facts)
        self.edges = {key: np.asarray(edges, np.float64) for key, edges in facts["edges"].items()}

    def _terms(self, key: str, value: list[str] | float) -> list[str]:
        edges = self.edges.get(key)
        if edges is not None:
            number = _number(value)
            if number is None:
                return [f"{key}=?"]
            half = int(np.searchsorted(edges, number, side="right"))
            return [f"{key}~{half // 2}", f"{key}^{(half + 1) // 2}"]
        if isinstance(value, float):
            return [f"{key}={_text(value)}"]
        return [f"{key}={part}" for part in value]


def _text(number: float) -> str:
    """A number with all its digits, whole ones without a fraction."""
    return str(int(number)) if number.is_integer() else repr(number)


def _number(value: list[str] | float) -> float | None:
    if isinstance(value, float):
        return value
    if len(value) != 1:
        return None
    try:
        number = float(value[0])
    except ValueError:
        return None
    return number if math.isfinite(number) else None
