"""What :func:`palate.data.check.check` finds: one fault, and the scans over tables and content."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl

from palate.core.encoder import Raw
from palate.core.errors import DataError, PalateError
from palate.data.catalog import MEDIA_KINDS, Catalog
from palate.data.interactions import Interactions
from palate.data.media import MediaRoot

Severity = Literal["error", "warning", "note"]
Probe = Callable[[str, Raw], str | None]
"""(modality, path or bytes) -> what is wrong with it, or None; handed in by rooms that can open media."""
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Fault:
    """One thing wrong with the data.

    Attributes:
        code: stable name, for example ``media_missing``. severity: ``error`` stops, ``warning`` bends results.
        rows: the first rows (1-based, header not counted) it was found in. count: how many there are.
    """

    code: str
    severity: Severity
    message: str
    file: str | None = None
    rows: tuple[int, ...] = ()
    column: str | None = None
    key: str | None = None
    count: int = 1
    hint: str | None = None

    @classmethod
    def of(cls, error: PalateError, code: str = "unreadable") -> Fault:
        """A fault from an error."""
        rows = () if error.row is None else (error.row,)
        key = None if error.key is None else str(error.key)
        return cls(code, "error", error.message, error.file, rows, error.column, key, 1, error.hint)

    def to_json(self) -> dict[str, Any]:
        """Plain values, empty ones left out."""
        return {name: value for name, value in asdict(self).items() if value not in (None, ())}


def media_faults(items: Catalog, probe: Probe | None, limit: int) -> Iterator[Fault]:
    """Unsafe paths, missing files and, with ``probe``, files that do not open."""
    resolve = MediaRoot(items.root)
    for modality in MEDIA_KINDS:
        for column in items.columns(modality):
            bad: dict[str, list[tuple[int, str]]] = {"media_unsafe": [], "media_missing": [], "media_unreadable": []}
            for row, value in enumerate(items.frame[column].to_list(), 1):
                found = _media_fault(modality, value, resolve, probe)
                if found is not None:
                    bad[found[0]].append((row, found[1]))
            for code, found_rows in bad.items():
                if found_rows:
                    severity: Severity = "error" if code == "media_unsafe" else "warning"
                    rows = tuple(row for row, _ in found_rows[:limit])
                    yield Fault(code, severity, found_rows[0][1], items.file, rows, column, count=len(found_rows))


def _media_fault(modality: str, value: Any, resolve: MediaRoot, probe: Probe | None) -> tuple[str, str] | None:
    raw: Raw = value
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            raw = resolve(value)
        except DataError as error:
            return "media_unsafe", error.message
        if not os.path.isfile(raw):
            return "media_missing", f"no such file: {value[:200]}"
    if raw is None or raw == b"" or probe is None:
        return None
    try:
        problem = probe(modality, raw)
    except PalateError as error:
        problem = error.message
    return None if problem is None else ("media_unreadable", problem)


def duplicate_events(log: Interactions, limit: int) -> Iterator[Fault]:
    """Rows that repeat user, item and time (and part, label ... whatever the log holds)."""
    keys = [column for column in log.frame.columns if column not in ("row", "impression", "position")]
    repeated = (~log.frame.select(keys).is_unique() & ~_first(log.frame, keys)).arg_true()
    if len(repeated):
        rows = tuple(log.source_row(int(at)) for at in repeated[:limit])
        hint = "a repeated positive counts once"
        yield Fault("duplicate_rows", "note", "rows repeat", log.file, rows, None, None, len(repeated), hint)


def _first(frame: pl.DataFrame, keys: Sequence[str]) -> pl.Series:
    return frame.select(pl.struct(keys).is_first_distinct()).to_series()


def twin_texts(items: Catalog, limit: int) -> Iterator[Fault]:
    """Items whose texts are equal up to case, spacing and punctuation."""
    if not items.columns("text"):
        return
    keys = [_fold(text) if isinstance(text, str) else None for text in items.raw("text")]
    yield from _twins("twin_text", "items share their text", keys, items, "text", limit)


def twin_files(items: Catalog, limit: int) -> Iterator[Fault]:
    """Items whose media files are equal byte by byte; only files of equal size are read."""
    for modality in MEDIA_KINDS:
        if not items.columns(modality):
            continue
        try:
            raws = items.raw(modality)
        except DataError:
            continue
        sizes = [os.path.getsize(raw) if isinstance(raw, Path) and raw.is_file() else -1 for raw in raws]
        counts = {size: n for size, n in zip(*map(np.ndarray.tolist, np.unique(sizes, return_counts=True)))}
        keys = [_file_hash(raw) if isinstance(raw, Path) and s > 0 and counts[s] > 1 else None
                for raw, s in zip(raws, sizes)]  # fmt: skip
        yield from _twins("twin_file", "items share one media file", keys, items, modality, limit)


def odd_text(items: Catalog, limit: int) -> Iterator[Fault]:
    """Control characters, spreadsheet formulas and texts above 100,000 characters: read as they are, but said."""
    for column in items.columns("text"):
        if items.frame[column].dtype != pl.String:
            continue
        text = items.frame[column]
        for code, mask, what in (
            ("text_control", text.str.contains(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffd]"), "control or broken characters"),
            ("text_formula", text.str.contains(r"^\s*[=@][A-Za-z(]|^\s*[+-][A-Za-z(]"), "looks like a formula"),
            ("text_long", text.str.len_bytes() > 100_000, "longer than 100,000 bytes; encoders cut it"),
        ):
            rows = mask.fill_null(False).arg_true()
            if len(rows):
                found = tuple(int(row) + 1 for row in rows[:limit])
                yield Fault(code, "note", what, items.file, found, column, None, len(rows))


def unknown_ids(log: Interactions, limit: int) -> Iterator[Fault]:
    """Rows of the log left out because an id is in no table."""
    if log.lost is None:
        return
    for (column,), part in log.lost.group_by(["column"], maintain_order=True):
        rows, first = tuple(part["row"].to_list()[:limit]), str(part["value"][0])
        message = "ids without a row in the tables; the interactions are left out"
        yield Fault("unknown_id", "warning", message, log.file, rows, str(column), first, len(part))


def _fold(text: str) -> str | None:
    folded = _NOT_WORD.sub("", unicodedata.normalize("NFKC", text).casefold())
    return blake2b(folded.encode("utf-8", "replace"), digest_size=16).hexdigest() if folded else None


def _file_hash(path: Path) -> str | None:
    state = blake2b(digest_size=16)
    try:
        with open(path, "rb") as handle:
            while chunk := handle.read(1 << 20):
                state.update(chunk)
    except OSError:
        return None
    return state.hexdigest()


def _twins(
    code: str, what: str, keys: Iterable[str | None], items: Catalog, column: str, limit: int
) -> Iterator[Fault]:
    series = pl.Series("key", list(keys), dtype=pl.String)
    twin = series.is_duplicated() & series.is_not_null()
    rows = twin.arg_true()
    if len(rows):
        groups = series.filter(twin).n_unique()
        found = tuple(int(row) + 1 for row in rows[:limit])
        yield Fault(code, "note", f"{what} ({groups} groups)", items.file, found, column, None, len(rows))
