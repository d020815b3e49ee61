"""How a layout is recognised and read."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.core.files import atomic_folder
from palate.core.registry import Registry
from palate.data.catalog import MEDIA_KINDS
from palate.data.dataset import Dataset

OPTIONS = ("positive", "split", "columns", "roles", "name")


class Reader(Protocol):
    """One public layout. Registered instances are asked in order of ``recognise`` scores."""

    cites: str
    """The document that defines the format, and its columns."""

    def recognise(self, path: Path) -> float:
        """How sure the reader is that ``path`` is its layout, by content: 0 (not mine) to 1."""

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read it; faults name file and row."""

    def write(self, data: Dataset, folder: Path) -> None:
        """Write ``data`` in this layout; what the layout cannot say is refused by name."""


readers: Registry[Reader] = Registry("layout", ("palate.data.readers",))


def load(path: str | Path, layout: str | None = None, **options: Any) -> Dataset:
    """Read a data set in any known layout.

    Args:
        path: a folder or file. layout: force one instead of recognising it.
        options: ``positive`` (for example ``{"rating": ">=4"}``), ``split``, ``columns``, ``roles``, and ``name``
            where one folder holds several data sets.
    """
    path = Path(path)
    if not path.exists():
        raise DataError("no such file or folder", file=path)
    name = layout or recognise(path)
    if name is None:
        raise DataError(
            "no known layout recognised",
            file=path,
            hint="put items.csv and interactions.csv in one folder, or force one with --layout "
            + "|".join(readers.names()),
        )
    unknown = sorted(set(options) - set(OPTIONS))
    if unknown:
        raise DataError("unknown option", key=unknown[0], hint=did_you_mean(unknown[0], OPTIONS))
    return readers.get(name).read(path, options)


def recognise(path: Path) -> str | None:
    """The layout that is surest of ``path``, or None."""
    scores = sorted(((reader.recognise(path), name) for name, reader in readers.items()), reverse=True)
    return scores[0][1] if scores and scores[0][0] > 0 else None


def write(data: Dataset, folder: str | Path, layout: str = "folder") -> Path:
    """Write ``data`` in a layout, such that :func:`load` gives the same ids, positives and content again.

    The folder appears whole or not at all, and replaces nothing: an existing non-empty one is refused.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError("there is something here already", file=folder, hint="name a new folder")
    with atomic_folder(folder) as aside:
        readers.get(layout).write(data, aside)
    return folder


def first_line(path: Path, limit: int = 1 << 16) -> str:
    """The first line of a text file, plain or gzipped, for recognition: at most ``limit`` bytes, never an error."""
    opener: Any = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as handle:
            raw: bytes = handle.readline(limit)
    except (OSError, EOFError, zlib.error):
        return ""
    return raw.decode("utf-8-sig", "replace").rstrip("\r\n")


def files_in(path: Path, pattern: str, depth: int = 1) -> list[Path]:
    """Files that match, in ``path`` and its folders down to ``depth``, sorted; ``path`` itself if it is the file."""
    if path.is_file():
        return [path] if path.match(pattern) else []
    found = [file for file in path.glob(pattern) if file.is_file()]
    for level in range(1, depth + 1):
        found += [file for file in path.glob("*/" * level + pattern) if file.is_file()]
    return sorted(found)


def pick(files: Sequence[Path], name: str | None, where: Path, what: str, tail: str) -> Path:
    """The one file, or the one whose name without ``tail`` is ``name``; else an error that lists the names."""
    names = {file.name.removesuffix(".gz").removesuffix(tail): file for file in files}
    if name is not None and name in names:
        return names[name]
    if name is not None:
        raise DataError(f"no {what} of this name", file=where, key=name, hint=did_you_mean(name, names))
    if len(names) == 1:
        return next(iter(names.values()))
    if not names:
        raise DataError(f"no {what}", file=where)
    raise DataError(f"several {what} here", file=where, hint=f"choose with name=: {', '.join(sorted(names))}")


def media_by_id(root: Path, ids: pl.Series, folders: Sequence[str], endings: Sequence[str]) -> pl.Series:
    """Paths, relative to ``root``, of files named by id in the folders that match, null where there is none."""
    found: dict[str, str] = {}
    for pattern in folders:
        for folder in sorted(path for path in root.glob(pattern) if path.is_dir()):
            for entry in os.scandir(folder):
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in endings:
                    found.setdefault(stem, f"{folder.name}/{entry.name}")
    return pl.Series([found.get(str(value)) for value in ids.to_list()], dtype=pl.String)


def copy_media(data: Dataset, folder: Path) -> None:
    """Copy every media file of the catalogue to the same relative place under ``folder``; missing ones stay missing."""
    root = data.items.root
    if root is None:
        return
    for modality in MEDIA_KINDS:
        for raw in data.items.raw(modality):
            if isinstance(raw, Path) and raw.is_file():
                target = folder / os.path.relpath(raw, root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(raw, target)


def events(data: Dataset) -> pl.DataFrame:
    """The interactions with external ``user`` and ``item`` ids, other roles as they are."""
    table = data.interactions.frame
    return table.with_columns(
        user=data.users.ids.ids.gather(table["user"]), item=data.items.ids.ids.gather(table["item"])
    )
