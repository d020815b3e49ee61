"""Reading and writing data sets: find out the layout of a folder, call its reader."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from palate.core.boundary import public
from palate.core.errors import DataError, did_you_mean
from palate.core.files import atomic_folder
from palate.core.output import check_not_protected
from palate.core.registry import Registry
from palate.data.dataset import Dataset
from palate.data.folder_guess import describe_tables, folder_columns, no_table_hint
from palate.data.regular_file import check_regular

OPTIONS = ("positive", "split", "columns", "roles", "name", "ids", "absent")


class Reader(Protocol):
    """One public layout. The registered reader with the highest ``recognise`` score reads a folder."""

    cites: str
    """The document that defines the format, and its columns."""

    def recognise(self, path: Path) -> float:
        """Judge by content whether ``path`` has this layout.

        Args:
            path: a folder or file.

        Returns:
            From 0 (another layout) to 1 (certain).
        """

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read a data set.

        Args:
            path: a folder or file.
            options: those of :func:`load`.

        Raises:
            DataError: naming file and row.
        """

    def write(self, data: Dataset, folder: Path) -> None:
        """Write a data set in this layout.

        Args:
            data: the data set.
            folder: an empty folder.

        Raises:
            DataError: naming what the layout cannot express.
        """


readers: Registry[Reader] = Registry("layout", ("palate.data.readers",), "palate.readers")


@public
def load(path: str | Path, layout: str | None = None, **options: Any) -> Dataset:
    """Read a data set in any known layout.

    Args:
        path: a folder or file.
        layout: name of the layout, recognised by content if None.
        options: ``positive`` (for example ``{"rating": ">=4"}``), ``split``, ``columns``, ``roles``, ``ids`` (``text``
            or ``integer``), ``absent`` (words that mean "no value"), and ``name`` where one folder holds several data
            sets.

    Returns:
        The data set; what was guessed is in its ``notes``.

    Raises:
        DataError: if nothing is there, no layout is recognised, an option is unknown, or the data cannot be read.
        ConfigError: if ``layout`` is unknown.
    """
    path = Path(path)
    options = {key: value for key, value in options.items() if value is not None}
    if not path.exists():
        raise DataError("no such file or folder", file=path)
    check_regular(path)
    name = layout or recognise(path)
    if name is None:
        found = folder_columns(path) if path.is_dir() else {}
        tables = describe_tables(found)
        if path.is_dir() and not found:
            raise DataError("no known layout recognised, no table in the folder", file=path, hint=no_table_hint(path))
        raise DataError(
            f"no known layout recognised{f'; its tables: {tables}' if tables else ''}",
            file=path,
            hint="palate init DATA writes a palate.yaml to start from, with your files and columns; or put items.csv "
            "and interactions.csv in one folder, or force a layout with --layout " + "|".join(readers.names()),
        )
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise DataError("unknown option", key=unknown[0], hint=did_you_mean(unknown[0], OPTIONS))
    return readers.get(name).read(path, options)


def recognise(path: Path) -> str | None:
    """The layout with the highest score for ``path``, None if no reader recognises it.

    Args:
        path: a folder or file.
    """
    scores = sorted(((reader.recognise(path), name) for name, reader in readers.items()), reverse=True)
    return scores[0][1] if scores and scores[0][0] > 0 else None


def write(data: Dataset, folder: str | Path, layout: str = "folder") -> Path:
    """Write a data set such that :func:`load` gives the same ids, positives and content again.

    The folder appears whole or not at all.

    Args:
        data: the data set.
        folder: a new or empty folder.
        layout: name of the layout.

    Returns:
        The folder.

    Raises:
        DataError: if the folder is not empty, or the layout cannot express the data.
        ArtefactError: for the working folder and the like.
        ConfigError: if ``layout`` is unknown.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("the folder is not empty", file=folder, hint="name a new folder")
    check_not_protected(folder)
    with atomic_folder(folder) as aside:
        readers.get(layout).write(data, aside)
    return folder
