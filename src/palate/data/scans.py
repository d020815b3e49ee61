"""Scans over tables and content: unusable media, repeated rows, duplicate content, odd text, unknown ids."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.encoder import Raw
from palate.core.errors import DataError, PalateError
from palate.core.files import file_digest
from palate.data.catalog import MEDIA_KINDS, Catalog
from palate.data.interactions import Interactions
from palate.data.issues import DataIssue, Severity
from palate.data.media import MediaRoot

Probe = Callable[[str, Raw], str | None]
"""Opens a medium, given its modality and its path or bytes: what is wrong with it, or None."""
_MISSING, _SEARCHED = "no such file: ", 200_000
_NOT_WORD = re.compile(r"[\W_]+")


def media_issues(items: Catalog, probe: Probe | None, limit: int) -> Iterator[DataIssue]:
    """Unsafe paths, missing files and, with ``probe``, files that do not open.

    Args:
        items: the catalogue.
        probe: opens one medium; None checks paths only.
        limit: how many rows an issue lists.
    """
    resolve = MediaRoot(items.root)
    for modality in MEDIA_KINDS:
        for column in items.columns(modality):
            bad: dict[str, list[tuple[int, str]]] = {"media_unsafe": [], "media_missing": [], "media_unreadable": []}
            for row, value in enumerate(items.frame[column].to_list(), 1):
                problem = _media_problem(modality, value, resolve, probe)
                if problem is not None:
                    bad[problem[0]].append((row, problem[1]))
            for code, problems in bad.items():
                if problems:
                    severity: Severity = "error" if code == "media_unsafe" else "warning"
                    rows = tuple(row for row, _ in problems[:limit])
                    hint = _elsewhere(items.root, problems[0][1]) if code == "media_missing" else None
                    yield DataIssue(
                        code, severity, problems[0][1], items.file, rows, column, count=len(problems), hint=hint
                    )


def _elsewhere(root: Path | None, problem: str) -> str | None:
    """Where a file of the same name lies that is missing where the table says; None if it lies nowhere."""
    if root is None:
        return None
    name = problem.removeprefix(_MISSING).replace("\\", "/").rpartition("/")[2].lower()
    files = (Path(folder) / one for folder, _, names in os.walk(root) for one in names)
    found = next((one for one in islice(files, _SEARCHED) if one.name.lower() == name), None)
    if found is None:
        return None
    return f"{found.relative_to(root)} is there: paths start from the folder of the tables, and capitals count"


def _media_problem(modality: str, value: Any, resolve: MediaRoot, probe: Probe | None) -> tuple[str, str] | None:
    raw: Raw = value
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            raw = resolve(value)
        except DataError as error:
            return "media_unsafe", error.message
        if not os.path.isfile(raw):
            return "media_missing", f"{_MISSING}{value[:200]}"
    if raw is None or raw == b"" or probe is None:
        return None
    try:
        problem = probe(modality, raw)
    except PalateError as error:
        problem = error.message
    return None if problem is None else ("media_unreadable", problem)


def duplicate_events(log: Interactions, limit: int) -> Iterator[DataIssue]:
    """Rows that repeat user, item, time and every other column but row, impression and position.

    Args:
        log: the interactions.
        limit: how many rows an issue lists.
    """
    keys = [column for column in log.frame.columns if column not in ("row", "impression", "position")]
    repeated = (~log.frame.select(keys).is_unique() & ~_first(log.frame, keys)).arg_true()
    if len(repeated):
        rows = tuple(log.source_row(int(at)) for at in repeated[:limit])
        hint = "a repeated positive counts once"
        yield DataIssue("duplicate_rows", "note", "rows repeat", log.file, rows, None, None, len(repeated), hint)


def _first(frame: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    return frame.select(pl.struct(keys).is_first_distinct()).to_series()


def duplicate_texts(items: Catalog, limit: int) -> Iterator[DataIssue]:
    """Items whose texts are equal up to case, spacing and punctuation.

    Args:
        items: the catalogue.
        limit: how many rows an issue lists.
    """
    if not items.columns("text"):
        return
    keys = [_folded_digest(text) if isinstance(text, str) else None for text in items.raw("text")]
    yield from _duplicates("duplicate_text", "items share their text", keys, items, "text", limit)


def duplicate_files(items: Catalog, limit: int) -> Iterator[DataIssue]:
    """Items whose media files are equal byte by byte; only files of equal size are read.

    Args:
        items: the catalogue.
        limit: how many rows an issue lists.
    """
    for modality in MEDIA_KINDS:
        if not items.columns(modality):
            continue
        try:
            raws = items.raw(modality)
        except DataError:
            continue
        sizes = [os.path.getsize(raw) if isinstance(raw, Path) and raw.is_file() else -1 for raw in raws]
        counts = {size: n for size, n in zip(*map(np.ndarray.tolist, np.unique(sizes, return_counts=True)))}
        keys = [_file_digest(raw) if isinstance(raw, Path) and s > 0 and counts[s] > 1 else None
                for raw, s in zip(raws, sizes)]  # fmt: skip
        yield from _duplicates("duplicate_file", "items share one media file", keys, items, modality, limit)


def odd_text(items: Catalog, limit: int) -> Iterator[DataIssue]:
    """Control characters, spreadsheet formulas and texts above 100,000 bytes, all of which are read as they are.

    Args:
        items: the catalogue.
        limit: how many rows an issue lists.
    """
    for column in items.columns("text"):
        if items.frame[column].dtype != pl.String:
            continue
        text = items.frame[column]
        for code, mask, message in (
            ("text_control", text.str.contains(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd]"), "control or broken characters"),
            ("text_formula", text.str.contains(r"^\s*[=@][A-Za-z(]|^\s*[+-][A-Za-z(]"), "looks like a formula"),
            ("text_long", text.str.len_bytes() > 100_000, "longer than 100,000 bytes; encoders cut it"),
        ):
            rows = mask.fill_null(False).arg_true()
            if len(rows):
                first = tuple(int(row) + 1 for row in rows[:limit])
                yield DataIssue(code, "note", message, items.file, first, column, None, len(rows))


def unknown_ids(log: Interactions, limit: int) -> Iterator[DataIssue]:
    """Rows of the log that were dropped because an id is in no table.

    Args:
        log: the interactions.
        limit: how many rows an issue lists.
    """
    if log.dropped is None:
        return
    for (column,), part in log.dropped.group_by(["column"], maintain_order=True):
        rows, first = tuple(part["row"].to_list()[:limit]), str(part["value"][0])
        message = "ids without a row in the tables; the interactions are left out"
        yield DataIssue("unknown_id", "warning", message, log.file, rows, str(column), first, len(part))


def _folded_digest(text: str) -> str | None:
    folded = _NOT_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())
    return blake2b(folded.encode("utf-8", "replace"), digest_size=16).hexdigest() if folded else None


def _file_digest(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None


def _duplicates(
    code: str, message: str, keys: Iterable[str | None], items: Catalog, column: str, limit: int
) -> Iterator[DataIssue]:
    series = pl.Series("key", list(keys), dtype=pl.String)
    duplicated = series.is_duplicated() & series.is_not_null()
    rows = duplicated.arg_true()
    if len(rows):
        groups = series.filter(duplicated).n_unique()
        first = tuple(int(row) + 1 for row in rows[:limit])
        yield DataIssue(code, "note", f"{message} ({groups} groups)", items.file, first, column, None, len(rows))
