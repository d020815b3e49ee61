"""JSON files that hold one array of objects, or one object around it, instead of one object a line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from palate.core.errors import DataError

_SPACES = b" \t\r\n"


def is_array(start: bytes) -> bool:
    """Whether a file begins as an array does.

    Args:
        start: its first bytes.
    """
    return start.lstrip(_SPACES)[:1] == b"["


def as_lines(raw: bytes, path: Path) -> bytes:
    """The same objects, one a line.

    Args:
        raw: bytes of a file of JSON; lines of objects are returned as they are.
        path: the file, for error messages; of a ``.json`` file that is one object, its only list of objects is taken.

    Raises:
        DataError: if an array cannot be read, or has something else in it than objects.
    """
    if not is_array(raw) and not _is_one_object(raw, path):
        return raw
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        if not is_array(raw):
            return raw
        line = getattr(error, "lineno", None)
        hint = "save it as UTF-8 JSON"
        raise DataError(f"not JSON ({str(error)[:100]}), line {line}", file=path, hint=hint) from error
    rows = value if isinstance(value, list) else _only_list(value)
    if rows is None:
        return raw
    odd = next((at for at, row in enumerate(rows, 1) if not isinstance(row, dict)), None)
    if odd is not None:
        raise DataError("not an object", file=path, row=odd, hint="an array of objects, one an item or event")
    return "\n".join(json.dumps(row) for row in rows).encode()


def first_keys(start: bytes, path: Path) -> list[str]:
    """The keys of the first object of an array or of lines; empty where there is none.

    Args:
        start: the beginning of a file.
        path: the file.
    """
    text = start.decode("utf-8", "ignore").lstrip("\ufeff \t\r\n[")
    try:
        value = json.JSONDecoder().raw_decode(text)[0]
    except (ValueError, RecursionError):
        return []
    if isinstance(value, dict) and _is_one_object(start, path) and (rows := _only_list(value)):
        value = rows[0]
    return list(value) if isinstance(value, dict) else []


def _is_one_object(raw: bytes, path: Path) -> bool:
    """Whether a ``.json`` file is not one object a line."""
    if not path.name.lower().endswith((".json", ".json.gz")):
        return False
    first, _, rest = raw.strip().partition(b"\n")
    try:
        whole = isinstance(json.loads(first), dict)
    except (ValueError, RecursionError):
        whole = False
    return not (whole and rest.strip())


def _only_list(value: Any) -> list[Any] | None:
    """The only list of objects of an object; None if there is none or several."""
    lists = [one for one in value.values() if isinstance(one, list) and one and isinstance(one[0], dict)]
    return lists[0] if len(lists) == 1 else None
