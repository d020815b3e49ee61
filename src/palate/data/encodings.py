"""The likely encoding of a table of text that does not name it."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path
from typing import IO, cast

from palate.data.regular_file import check_regular

_CHUNK, _LIMIT = 1 << 20, 1 << 28
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def likely_encoding(path: Path, limit: int = _LIMIT) -> str:
    """``utf-8`` where the file is that; else ``utf-16`` by its mark, ``cp1252``, or ``latin-1``, which reads any bytes.

    Args:
        path: a file of text, maybe packed by gzip.
        limit: bytes from its start that are looked at.

    Raises:
        DataError: for a pipe or device.
        OSError: if the file cannot be read.
    """
    check_regular(path)
    with _open(path) as handle:
        start = handle.read(2)
    found = next((name for mark, name in _MARKS if start == mark), None)
    return found or next((name for name in ("utf-8", "cp1252") if _decodes(path, name, limit)), "latin-1")


def _decodes(path: Path, encoding: str, limit: int) -> bool:
    """Whether the first bytes of a file are text of an encoding; a character that the limit cuts is none."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        with _open(path) as handle:
            for start in range(0, limit, _CHUNK):
                chunk = handle.read(min(_CHUNK, limit - start))
                decoder.decode(chunk, final=not chunk)
                if not chunk:
                    break
    except UnicodeDecodeError:
        return False
    return True


def _open(path: Path) -> IO[bytes]:
    packed = path.name.lower().endswith(".gz")
    return cast(IO[bytes], gzip.open(path)) if packed else open(path, "rb")
