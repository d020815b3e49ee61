"""The likely encoding of a table of text that does not name it."""

from __future__ import annotations

import codecs
import gzip
from pathlib import Path

from palate.data.regular_file import check_regular

_CHUNK, _LIMIT = 1 << 20, 1 << 28
_MARKS = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def likely_encoding(path: Path) -> str:
    """``utf-8`` where the file is that; else ``utf-16`` by its mark, ``cp1252``, or ``latin-1``, which reads any bytes.

    Args:
        path: a file of text, maybe packed by gzip; its first 256 MiB are looked at.

    Raises:
        DataError: for a pipe or device.
        OSError: if the file cannot be read.
    """
    check_regular(path)
    decoders = {name: codecs.getincrementaldecoder(name)() for name in ("utf-8", "cp1252")}
    with gzip.open(path) if path.name.lower().endswith(".gz") else open(path, "rb") as handle:
        for start in range(0, _LIMIT, _CHUNK):
            chunk = handle.read(_CHUNK)
            if start == 0:
                for mark, name in _MARKS:
                    if chunk.startswith(mark):
                        return name
            for name, decoder in list(decoders.items()):
                try:
                    decoder.decode(chunk, final=not chunk)
                except UnicodeDecodeError:
                    del decoders[name]
            if not chunk or not decoders:
                break
    return next(iter(decoders), "latin-1")
