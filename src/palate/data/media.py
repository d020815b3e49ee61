"""Media paths of a table, relative to its folder and never outside it."""

from __future__ import annotations

import os
from pathlib import Path

from palate.core.errors import DataError


class MediaRoot:
    """Resolver of the paths in a table; a path that leaves ``root`` is refused.

    Backslashes separate folders where no file has the name as it is. A path may be absolute if it lies inside the
    root. Links are followed before the check. Without a root (a table made in memory) paths are taken as they are.

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
        if "\\" in text and not os.path.lexists(joined):
            # a table that was written on Windows
            slashed = os.path.normpath(os.path.join(self.root, text.replace("\\", "/")))
            joined = slashed if os.path.lexists(slashed) else joined
        folder = self._folder(os.path.dirname(joined))
        final = os.path.join(folder, os.path.basename(joined))
        if os.path.islink(final):
            final = os.path.realpath(final)
        if final != self._real and not final.startswith(self._real.rstrip(os.sep) + os.sep):
            raise DataError(
                "the media path leaves the data folder", hint="copy the file into the folder and give its relative path"
            )
        return Path(joined)

    def size(self, value: object) -> str:
        """The file's size as text, for hashing; ``-`` if there is no file or it may not be read.

        Args:
            value: a cell of the table.
        """
        if not isinstance(value, str) or not value.strip():
            return "-"
        try:
            return str(os.stat(self(value)).st_size)
        except (DataError, OSError, ValueError):
            return "-"

    def _folder(self, folder: str) -> str:
        """Real path of a folder, cached: a catalogue has few folders and many files."""
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return self._folders[folder]
