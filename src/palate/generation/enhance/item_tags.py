"""Attributes of items by a language model, from a closed vocabulary; a table beside the data, never in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.contracts import Constraint, Prompt, Sampling, ScoringBackend, TextBackend
from palate.core.errors import ConfigError
from palate.core.files import atomic_path
from palate.generation.flows.item_values import is_id, true_of

UNKNOWN = "unknown"
"""Answer where an item does not say."""
BATCH = 32
MAX_CHARACTERS = 1200


@dataclass(frozen=True)
class Vocabulary:
    """One attribute and what it may be.

    Attributes:
        column: name of the attribute, as it is asked for and written.
        values: at least two; ``unknown`` is added to what may be answered.
    """

    column: str
    values: tuple[str, ...]


def tag_items(
    items: Sequence[Mapping[str, Any]],
    vocabularies: Sequence[Vocabulary],
    backend: TextBackend | None = None,
    *,
    without: Sequence[str] = (),
    seed: int = 0,
) -> pl.DataFrame:
    """One value of each vocabulary for each item.

    Without a language model the value is the first that the item's own text says without negating it.

    Args:
        items: id and columns of each; the first column is the id.
        vocabularies: what is asked.
        backend: a language model that keeps ``choices``.
        without: columns that are not shown, such as those that already say it.
        seed: of the language model.

    Returns:
        A row an item: the id, and a column of text a vocabulary; null for ``unknown``.

    Raises:
        ConfigError: if a vocabulary has fewer than two values, or two have the same column.
    """
    _check(vocabularies)
    shown = [{key: value for key, value in item.items() if key not in without} for item in items]
    table: dict[str, list[Any]] = {_id_column(items): [next(iter(item.values())) for item in items]}
    for vocabulary in vocabularies:
        if backend is None:
            table[vocabulary.column] = [_said(item, vocabulary) for item in shown]
        else:
            table[vocabulary.column] = _chosen(shown, vocabulary, backend, seed)
    schema = {vocabulary.column: pl.String for vocabulary in vocabularies}
    return pl.DataFrame(table, schema_overrides=schema)


def tag_probabilities(
    items: Sequence[Mapping[str, Any]], vocabulary: Vocabulary, backend: ScoringBackend, *, without: Sequence[str] = ()
) -> NDArray[np.float32]:
    """How probable each value is of each item: item vectors for ``with_features``.

    softmax over the values of log P(value | item) - log P(value | nothing), so that values that the language model
    finds likely of anything do not win.

    Args:
        items: id and columns of each.
        vocabulary: the values.
        backend: a language model that tells log-likelihoods.
        without: columns that are not shown.

    Returns:
        float32 [items, values]; rows sum to 1.

    Raises:
        ConfigError: if the vocabulary has fewer than two values.
    """
    _check([vocabulary])
    values = list(vocabulary.values)
    blank = np.array(backend.log_likelihood([_prompt({}, vocabulary)] * len(values), values), np.float64)
    out = np.zeros((len(items), len(values)), np.float32)
    for row, item in enumerate(items):
        shown = {key: value for key, value in item.items() if key not in without}
        logs = np.array(backend.log_likelihood([_prompt(shown, vocabulary)] * len(values), values), np.float64) - blank
        share = np.exp(logs - logs.max())
        out[row] = share / share.sum()
    return out


def write_tags(tags: pl.DataFrame, path: str | Path, data: str | Path) -> Path:
    """Write a table of tags beside a data folder, never into it.

    Args:
        tags: as :func:`tag_items` returns.
        path: ``.parquet`` or ``.csv``.
        data: folder of the data that was tagged.

    Returns:
        The path.

    Raises:
        ConfigError: for a path inside the data folder, or another ending.
    """
    target, folder = Path(path).resolve(), Path(data).resolve()
    if target.is_relative_to(folder):
        hint = "what a language model says of items is no data: give a path outside"
        raise ConfigError("tags are not written into the data folder", key=str(path), hint=hint)
    if target.suffix not in (".parquet", ".csv"):
        raise ConfigError("tables are .parquet or .csv", key=str(path))
    with atomic_path(target) as aside:
        if target.suffix == ".csv":
            tags.write_csv(aside)
        else:
            tags.write_parquet(aside)
    return target


def _check(vocabularies: Sequence[Vocabulary]) -> None:
    for one in vocabularies:
        if len(set(one.values)) < 2:
            raise ConfigError("a vocabulary has at least two values", key=one.column)
    if len({one.column for one in vocabularies}) < len(vocabularies):
        raise ConfigError("two vocabularies have the same column")


def _id_column(items: Sequence[Mapping[str, Any]]) -> str:
    return next(iter(items[0])) if items else "id"


def _said(item: Mapping[str, Any], vocabulary: Vocabulary) -> str | None:
    return next((value for value in vocabulary.values if true_of(item, value) is not None), None)


def _prompt(item: Mapping[str, Any], vocabulary: Vocabulary) -> Prompt:
    task = f"Choose the {vocabulary.column} of the item from the choices. Answer {UNKNOWN} if the data does not tell."
    texts = {
        key: str(value)[:MAX_CHARACTERS]
        for key, value in item.items() if not is_id(key) and isinstance(value, str | int | float)
    }  # fmt: skip
    return Prompt(task, {**texts, "choices": ", ".join(vocabulary.values)})


def _chosen(
    items: Sequence[Mapping[str, Any]], vocabulary: Vocabulary, backend: TextBackend, seed: int
) -> list[str | None]:
    choices = (*vocabulary.values, UNKNOWN)
    longest = max(map(backend.count, choices))
    sampling = Sampling(max_tokens=longest + 4, constraint=Constraint(choices=choices))
    out: list[str | None] = []
    for start in range(0, len(items), BATCH):
        prompts = [_prompt(item, vocabulary) for item in items[start : start + BATCH]]
        for answer in backend.complete(prompts, sampling, seed=seed):
            out.append(answer.text if answer.text in vocabulary.values else None)
    return out
