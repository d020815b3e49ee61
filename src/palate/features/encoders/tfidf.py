"""tf-idf of words and word pairs, fitted on visible items."""

from __future__ import annotations

import json
import unicodedata
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import ConfigError, NotFittedError
from palate.core.files import digest
from palate.features.encoders.base import FittedContentEncoder
from palate.features.encoders.term_space import COUNTS, TermSpace, counts_hash
from palate.features.encoders.text import clean_text

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class TermEncoder(FittedContentEncoder):
    """Base of tf-idf encoders; subclasses define the terms of an entity.

    Dense vectors are the tf-idf rows themselves while the vocabulary has at most ``dim`` terms, else their projection
    on ``dim`` leading singular directions; :meth:`transform_matrix` always gives the full sparse rows.
    """

    zero_is_absent = True
    space: TermSpace | None = None

    @abstractmethod
    def counts(self, contents: list[Any]) -> pl.DataFrame:
        """Terms of what :meth:`read` returned, as columns row, term, count."""

    def learn(self, contents: list[Any]) -> None:
        """Fit the statistics that :meth:`counts` needs (bin edges); none by default."""

    @property
    def dim(self) -> int:
        return self._space().width if self.space else int(self.options["dim"])

    def fit(self, batch: Sequence[Raw]) -> TermEncoder:
        contents = self.contents(batch)
        self.learn(contents)
        counts = self.counts(contents)
        limits = (self.options["min_df"], self.options["max_df"], self.options["max_terms"])
        self.space = TermSpace.fit(counts, len(contents), self.options["dim"], *limits)
        learnt = {key: value for key, value in self.state()[1].items() if key != "terms"}
        self.fitted_on = digest(counts_hash(counts, len(contents)), json.dumps(learnt, sort_keys=True))
        return self

    def transform_matrix(self, batch: Sequence[Raw]) -> csr_matrix:
        """Sparse rows of ``batch``: CSR float32 [n, terms], L2-normed; absent and unusable entities are empty rows.

        Raises:
            NotFittedError: before fitting.
        """
        space = self._space()
        readable = [(row, self.contents([raw])) for row, raw in enumerate(batch)]
        kept = [(row, contents[0]) for row, contents in readable if contents]
        counts = self.counts([content for _, content in kept])
        rows = pl.Series("row", [row for row, _ in kept], pl.Int64)
        return space.weights.matrix(counts.with_columns(rows.gather(counts["row"])), len(batch))

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        return self._space().dense(self.counts(contents), len(contents))

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        return self._space().state()

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        self.space = TermSpace.from_state(self.options["dim"], arrays, facts)

    def _space(self) -> TermSpace:
        if self.space is None:
            raise NotFittedError(
                f"the encoder {self.name} is not fitted", hint="call fit(raws) or load_encoder(folder)"
            )
        return self.space


@encoders.register("tfidf")
class TfIdfText(TermEncoder):
    """Words of two letters or more and pairs of neighbours, case folded.

    Args:
        dim: width of the dense vectors at most.
        min_df: rows that a term must occur in.
        max_df: share of rows above which a term is left out.
        max_terms: vocabulary at most.
        pairs: word pairs too.

    Raises:
        ConfigError: for a value out of range.
    """

    name, modality, version = "tfidf", "text", 1

    def __init__(
        self, dim: int = 512, min_df: int = 2, max_df: float = 0.5, max_terms: int = 30_000, pairs: bool = True
    ) -> None:
        check_term_options(dim, min_df, max_df, max_terms)
        self.options: dict[str, Any] = {
            "dim": dim, "min_df": min_df, "max_df": max_df, "max_terms": max_terms, "pairs": pairs,
        }  # fmt: skip

    def read(self, raw: Raw) -> str | None:
        text = clean_text(raw)
        return None if text is None else unicodedata.normalize("NFKC", text).lower()

    def counts(self, contents: list[Any]) -> pl.DataFrame:
        if not contents:
            return pl.DataFrame(schema=COUNTS)
        words = (
            pl.DataFrame(
                {"row": np.arange(len(contents)), "term": contents}, schema={"row": pl.Int64, "term": pl.String}
            )
            .with_columns(pl.col("term").str.extract_all(r"\w\w+"))
            .explode("term")
            .drop_nulls()
        )
        if self.options["pairs"]:
            pair = (pl.col("term") + " " + pl.col("term").shift(-1).over("row")).alias("term")
            words = pl.concat([words, words.select("row", pair).drop_nulls()])
        return words.group_by("row", "term").len("count").cast({"count": pl.Int64})


def check_term_options(dim: int, min_df: int, max_df: float, max_terms: int) -> None:
    """Check the settings of a vocabulary.

    Args:
        dim: width of the dense vectors at most.
        min_df: rows that a term must occur in.
        max_df: share of rows above which a term is left out.
        max_terms: vocabulary at most.

    Raises:
        ConfigError: for a value out of range.
    """
    for key, value, valid in (
        ("dim", dim, dim >= 1),
        ("min_df", min_df, min_df >= 1),
        ("max_df", max_df, 0 < max_df <= 1),
        ("max_terms", max_terms, max_terms >= 1),
    ):
        if not valid:
            raise ConfigError(f"out of range: {value}", key=key)
