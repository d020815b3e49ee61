"""Pairs of contents to be rated: a CSV or JSON Lines file, one pair a row.

Columns are ``id``, ``a`` and ``b`` (texts), and optionally ``system_a`` and ``system_b`` (what made each), ``question``
(what the rater is asked), ``context`` (what the rater should know, such as the item), and ``image_a`` and ``image_b``
(picture files beside the file of pairs). A pair needs a text or a picture on both sides.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from palate.core.errors import DataError, did_you_mean
from palate.core.files import write_text

MAX_PAIRS, MAX_LETTERS, MAX_ID = 20_000, 20_000, 200
"""Pairs of a file; letters of a cell; letters of an id."""


@dataclass(frozen=True)
class RatingPair:
    """Two contents for the same request.

    Attributes:
        id: of the pair.
        a: text of one.
        b: text of the other.
        system_a: what made a.
        system_b: what made b.
        question: what the rater is asked; empty for the page's own question.
        context: what the rater should know.
        image_a: picture file of a, relative to the file of pairs.
        image_b: that of b.
    """

    id: str
    a: str = ""
    b: str = ""
    system_a: str = "a"
    system_b: str = "b"
    question: str = ""
    context: str = ""
    image_a: str = ""
    image_b: str = ""


COLUMNS = tuple(one.name for one in fields(RatingPair))
REQUIRED = ("id", "a", "b")


def read_pairs(file: str | Path) -> list[RatingPair]:
    """Read pairs.

    Args:
        file: ``.csv``, or ``.jsonl`` with one JSON object a line.

    Raises:
        DataError: for a file that cannot be read or has no pairs, a column that is missing or unknown, an id that is
            empty or occurs twice, a side without content, or a picture outside of the file's folder.
    """
    path = Path(file)
    rows = (json_rows if is_json_lines(path) else csv_rows)(path, ("id",), COLUMNS)
    if not rows:
        raise DataError("no pairs to rate", file=path)
    if len(rows) > MAX_PAIRS:
        raise DataError(f"{len(rows):,} pairs", file=path, hint=f"at most {MAX_PAIRS:,}")
    pairs, seen = list[RatingPair](), dict[str, int]()
    for number, row in rows:
        pair = _pair(path, number, row)
        if pair.id in seen:
            raise DataError(f"the pair {pair.id!r} is also in row {seen[pair.id]}", file=path, row=number, column="id")
        seen[pair.id] = number
        pairs.append(pair)
    return pairs


def write_pairs(file: str | Path, pairs: Iterable[RatingPair]) -> None:
    """Write pairs as :func:`read_pairs` reads them; the file appears whole.

    Args:
        file: ``.csv`` or ``.jsonl``.
        pairs: the pairs.
    """
    path, rows = Path(file), [{name: getattr(pair, name) for name in COLUMNS} for pair in pairs]
    if is_json_lines(path):
        kept = ({name: text for name, text in row.items() if text} for row in rows)
        write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
        return
    used = [name for name in COLUMNS if name in REQUIRED or any(row[name] for row in rows)]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, used, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, buffer.getvalue())


def is_json_lines(path: Path) -> bool:
    """Whether a file is one of JSON Lines by its name.

    Args:
        path: the file.
    """
    return path.suffix.lower() in (".jsonl", ".ndjson")


def read_utf8(path: Path) -> str:
    """Text of a file.

    Args:
        path: the file.

    Raises:
        DataError: for a file that cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", file=path) from error
    except UnicodeDecodeError as error:
        raise DataError("is not UTF-8 text", file=path, hint="save it as UTF-8") from error


def csv_rows(path: Path, required: Sequence[str], known: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file with their numbers from 1.

    Args:
        path: the file.
        required: columns that it must have.
        known: columns that it may have.

    Raises:
        DataError: for a column that is missing or unknown, or a row of another length.
    """
    try:
        lines = list(csv.reader(io.StringIO(read_utf8(path), newline=""), strict=True))
    except csv.Error as error:
        raise DataError(f"is not CSV ({error})", file=path) from error
    if not lines:
        return []
    header = [name.strip() for name in lines[0]]
    _check_columns(path, header, required, known)
    rows = []
    for number, cells in enumerate(lines[1:], 1):
        if not cells:
            continue
        if len(cells) != len(header):
            raise DataError(f"{len(cells)} cells instead of {len(header)}", file=path, row=number)
        rows.append((number, dict(zip(header, cells))))
    return rows


def json_rows(path: Path, required: Sequence[str], known: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    """Objects of a file of JSON Lines with their numbers from 1.

    Args:
        path: the file.
        required: keys that each must have.
        known: keys that each may have.

    Raises:
        DataError: for a line that is no JSON object, or a key that is missing or unknown.
    """
    rows = []
    for number, line in enumerate(read_utf8(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"is not JSON ({error})", file=path, row=number) from error
        if not isinstance(row, dict):
            raise DataError("is no JSON object", file=path, row=number)
        _check_columns(path, list(row), required, known, number)
        rows.append((number, row))
    return rows


def _check_columns(
    path: Path, names: Sequence[str], required: Sequence[str], known: Sequence[str], row: int | None = None
) -> None:
    for name in names:
        if name not in known or names.count(name) > 1:
            what = "twice" if name in known else "unknown"
            raise DataError(f"this column is {what}", file=path, row=row, column=name, hint=did_you_mean(name, known))
    for name in required:
        if name not in names:
            raise DataError("this column is missing", file=path, row=row, column=name)


def _pair(path: Path, number: int, row: Mapping[str, Any]) -> RatingPair:
    found = dict[str, str]()
    for name, value in row.items():
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError("is no text", file=path, row=number, column=name)
        text = str(value).strip()
        if len(text) > (MAX_ID if name == "id" else MAX_LETTERS):
            raise DataError(f"{len(text):,} letters are too many", file=path, row=number, column=name)
        if text:
            found[name] = text
    if "id" not in found:
        raise DataError("an id is missing", file=path, row=number, column="id")
    pair = RatingPair(**found)
    for side in ("a", "b"):
        if not (getattr(pair, side) or getattr(pair, f"image_{side}")):
            raise DataError("neither a text nor a picture", file=path, row=number, column=side)
        picture = getattr(pair, f"image_{side}")
        if picture and not (path.parent / picture).resolve().is_relative_to(path.parent.resolve()):
            hint = "keep pictures beside the file of pairs"
            raise DataError("lies outside of the folder", file=path, row=number, column=f"image_{side}", hint=hint)
    if pair.system_a == pair.system_b:
        raise DataError("the same system on both sides", file=path, row=number, column="system_b", key=pair.system_b)
    return pair
