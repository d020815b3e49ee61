"""Media paths of a table, relative to its folder and never outside it."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from palate.core.errors import DataError
from palate.core.files import digest

SAMPLE = 1 << 14
"""Bytes of a file that are read at its beginning, in its middle and at its end to tell it from another."""


class MediaRoot:
    """Resolver of the paths in a table; a path that leaves ``root`` is refused.

    Where no file has the name as it is, backslashes separate folders, letters with accents may be composed or
    decomposed (NFC, NFD), and a first slash, ``%20`` and what follows a ``?`` are those of an address. A path may be
    absolute if it lies inside the root. Links are followed before the check.
    Without a root (a table made in memory) paths are taken as they are.

    Args:
        root: the data folder, or None.
    """

    def __init__(self, root: Path | None) -> None:
        self.root = root
        self._real = None if root is None else os.path.realpath(root)
        self._folders: dict[str, str] = {}

    def __call__(self, value: str) -> Path:
        """The path of a value; the file need not exist.

        Args:
            value: a cell of the table.

        Raises:
            DataError: for a URL, a NUL byte, or a path outside the root.
        """
        text = value.strip()
        if "://" in text[:16]:
            raise DataError("a URL, not a file", hint="download media beside the table first")
        if "\0" in text:
            raise DataError("a media path with a NUL byte", hint="give a path relative to the table's folder")
        if self.root is None or self._real is None:
            return Path(text)
        joined = os.path.normpath(os.path.join(self.root, text))
        if not os.path.lexists(joined):
            others = (os.path.normpath(os.path.join(self.root, other)) for other in _other_spellings(text))
            joined = next((other for other in others if os.path.lexists(other)), joined)
        folder = self._folder(os.path.dirname(joined))
        final = os.path.join(folder, os.path.basename(joined))
        if os.path.islink(final):
            final = os.path.realpath(final)
        if final != self._real and not final.startswith(self._real.rstrip(os.sep) + os.sep):
            raise DataError(
                "the media path leaves the data folder", hint="copy the file into the folder and give its relative path"
            )
        return Path(joined)

    def fingerprint(self, value: object) -> str:
        """The file's size and a digest of three samples of it; ``-`` if there is no file or it may not be read.

        Args:
            value: a cell of the table.
        """
        if not isinstance(value, str) or not value.strip():
            return "-"
        try:
            return _fingerprint(self(value))
        except (DataError, OSError, ValueError):
            return "-"

    def _folder(self, folder: str) -> str:
        """Real path of a folder, cached: a catalogue has few folders and many files."""
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]


def _other_spellings(text: str) -> Iterator[str]:
    """Paths that systems write for one file: with slashes, its letters composed or decomposed, or as in an address."""
    bare = unquote(text.partition("?")[0].partition("#")[0])
    for other in (bare, bare.replace("\\", "/").lstrip("/")):
        if other and other != text and "\0" not in other:
            yield other
    for slashed in dict.fromkeys((text, text.replace("\\", "/"))):
        for form in ("NFC", "NFD"):
            other = unicodedata.normalize(form, slashed)
            if other != text:
                yield other
        if slashed != text:
            yield slashed


def _fingerprint(path: Path) -> str:
    size = path.stat().st_size
    if not path.is_file():
        return str(size)
    starts = range(0, size, SAMPLE) if size <= 3 * SAMPLE else (0, (size - SAMPLE) // 2, size - SAMPLE)
    with open(path, "rb") as handle:
        parts = []
        for start in starts:
            handle.seek(start)
            parts.append(handle.read(SAMPLE))
    return f"{size}:{digest(*parts)}"
