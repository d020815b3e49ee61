"""Finding the files of a layout, and the media beside them."""

from __future__ import annotations

import gzip
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import MEDIA_KINDS
from palate.data.dataset import Dataset
from palate.data.regular_file import odd_kind


def first_line(path: Path, limit: int = 1 << 16) -> str:
    """The first line of a text file, plain or gzipped; empty if it cannot be read or is no regular file.

    Args:
        path: the file.
        limit: largest number of bytes to read.
    """
    opener: Any = gzip.open if path.suffix == ".gz" else open
    if odd_kind(path) is not None:
        return ""
    try:
        with opener(path, "rb") as handle:
            raw: bytes = handle.readline(limit)
    except (OSError, EOFError, zlib.error):
        return ""
    return raw.decode("utf-8-sig", "replace").rstrip("\r\n")


def files_in(path: Path, pattern: str, depth: int = 1) -> list[Path]:
    """Files that match, sorted; ``path`` itself if it is a matching file.

    Args:
        path: a folder or file.
        pattern: a glob pattern of names.
        depth: how many levels of folders below ``path`` are searched.
    """
    if path.is_file():
        return [path] if path.match(pattern) else []
    files = [file for file in path.glob(pattern) if file.is_file()]
    for level in range(1, depth + 1):
        files += [file for file in path.glob("*/" * level + pattern) if file.is_file()]
    return sorted(files)


def choose_file(files: Sequence[Path], name: str | None, folder: Path, plural: str, tail: str) -> Path:
    """The only file, or the one that was asked for by name.

    Args:
        files: all candidates.
        name: name of the data set, or None.
        folder: where the files are, for error messages.
        plural: what the files are, for error messages.
        tail: end of every file name, which is not part of the data set's name.

    Raises:
        DataError: listing the names, if there is no file, none of this name, or several and no name.
    """
    names = {file.name.removesuffix(".gz").removesuffix(tail): file for file in files}
    if name is not None and name in names:
        return names[name]
    if name is not None:
        raise DataError(f"no {plural} of this name", file=folder, key=name, hint=did_you_mean(name, names))
    if len(names) == 1:
        return next(iter(names.values()))
    if not names:
        raise DataError(f"no {plural}", file=folder)
    hint = f"choose one with --name, in Python name=, or give its file: {', '.join(sorted(names))}"
    raise DataError(f"several {plural}", file=folder, hint=hint)


def media_by_id(root: Path, ids: pl.Series, folders: Sequence[str], endings: Sequence[str]) -> pl.Series:
    """Paths, relative to ``root``, of the media file of each id; null where there is none.

    Args:
        root: the data folder.
        ids: external ids; a file is named by its id.
        folders: glob patterns of folders in ``root``; the first match wins.
        endings: file endings with their dot, in lower case.
    """
    paths: dict[str, str] = {}
    for pattern in folders:
        for folder in sorted(path for path in root.glob(pattern) if path.is_dir()):
            for entry in os.scandir(folder):
                stem, ending = os.path.splitext(entry.name)
                if ending.lower() in endings:
                    paths.setdefault(stem, f"{folder.relative_to(root).as_posix()}/{entry.name}")
    return pl.Series([paths.get(str(value)) for value in ids.to_list()], dtype=pl.String)


def copy_media(data: Dataset, folder: Path) -> None:
    """Copy the media files of the items to the same relative paths; missing ones stay missing.

    Args:
        data: the data set.
        folder: where to.

    Raises:
        DataError: if a path leaves the data folder.
    """
    root = data.items.root
    if root is None:
        return
    for modality in MEDIA_KINDS:
        for raw in data.items.raw(modality):
            if isinstance(raw, Path) and raw.is_file():
                target = folder / os.path.relpath(raw, root)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(raw, target)
