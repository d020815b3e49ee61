"""Ready-made vectors and neighbour graphs beside the tables: ``<modality>_feat.npy`` and ``knn*.npz``."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import IO
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.errors import DataError
from palate.core.files import digest
from palate.data.regular_file import check_regular
from palate.data.relations import Edges, Relations
from palate.data.tables import UNPACKED

Graph = tuple[NDArray[np.int64], NDArray[np.float32]]
MAX_HEADER = 10_000
"""Bytes that the header of a matrix may have."""
_ALIASES = {"v": "image", "vision": "image", "visual": "image", "t": "text", "a": "audio"}


def given_features(folder: Path, rows: int | None = None) -> dict[str, Features]:
    """Features of every ``<modality>_feat.npy`` by modality; an all-zero or all-NaN row is absent.

    Args:
        folder: where the files are.
        rows: number of rows that each must have, or None.

    Raises:
        DataError: naming a file that is not a matrix of finite numbers, or has another number of rows.
    """
    out = {}
    for file in sorted(folder.glob("*_feat.npy")):
        matrix = _matrix(file)
        if rows is not None and len(matrix) != rows:
            raise DataError(f"{len(matrix)} feature rows for {rows} items", file=file)
        name = file.name.removesuffix("_feat.npy")
        out[_ALIASES.get(name, name)] = _features(matrix, file)
    return out


def given_graphs(folder: Path) -> dict[str, Graph]:
    """Neighbours and cosines, ``<modality>_idx`` and ``<modality>_cos`` [n, k], of every ``knn*.npz``.

    Args:
        folder: where the files are.

    Returns:
        Modality -> int64 [n, k] rows of neighbours (-1 for none) and float32 [n, k] cosines.

    Raises:
        DataError: naming a file that cannot be read as such an archive, or holds a neighbour beyond the last item.
    """
    graphs = {name: graph for file in sorted(folder.glob("knn*.npz")) for name, graph in _archive(file).items()}
    return {_ALIASES.get(name, name): graph for name, graph in graphs.items()}


def graph_relations(graphs: dict[str, Graph]) -> Relations:
    """Relations ``knn_<modality>``.

    Args:
        graphs: of :func:`given_graphs`.
    """
    return Relations({f"knn_{name}": _edges(*graph) for name, graph in graphs.items()})


def write_features(given: dict[str, Features], folder: Path) -> None:
    """Save pooled vectors as matrices, with zeros in absent rows.

    Args:
        given: features by modality.
        folder: where to.

    Raises:
        DataError: for features of another kind.
    """
    for name, features in given.items():
        if features.kind != "pooled":
            raise DataError(f"this layout cannot store {features.kind} features", key=name, hint="leave them out")
        present = np.repeat(features.present, features.values.shape[1]).reshape(features.values.shape)
        np.save(folder / f"{name}_feat.npy", np.where(present, features.values, 0))


def write_graphs(relations: Relations, n_items: int, folder: Path) -> None:
    """Save relations ``knn_<modality>`` as an archive, padded with -1.

    Args:
        relations: the relations.
        n_items: number of items.
        folder: where to.

    Raises:
        DataError: for any other relation.
    """
    arrays: dict[str, NDArray] = {}
    for name, edges in relations.edges.items():
        if not name.startswith("knn_") or edges.target_kind != "item":
            raise DataError("this layout cannot store the relation", key=name, hint="use layout folder")
        counts = np.bincount(edges.source, minlength=n_items)
        order = np.argsort(edges.source, kind="stable")
        place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        neighbours = np.full((n_items, counts.max(initial=0)), -1, np.int64)
        cosines = np.zeros(neighbours.shape, np.float32)
        neighbours[edges.source[order], place] = edges.target[order]
        cosines[edges.source[order], place] = edges.weight[order]
        arrays |= {f"{name[4:]}_idx": neighbours, f"{name[4:]}_cos": cosines}
    if arrays:
        np.savez(folder / "knn.npz", **arrays)  # type: ignore[arg-type]


def _matrix(file: Path) -> NDArray[np.float32]:
    check_regular(file, file.parent)
    try:
        with open(file, "rb") as handle:
            _check_header(handle, file)
        matrix = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"not a plain .npy matrix ({error})", file=file) from error
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise DataError(f"expected numbers [items, d], found {matrix.dtype} {matrix.shape}", file=file)
    values: NDArray[np.float32] = matrix.astype(np.float32)
    return values


def _check_header(handle: IO[bytes], file: Path) -> None:
    """Refuse a header that is longer than any matrix needs, or promises more values than the file holds."""
    version = np.lib.format.read_magic(handle)
    width = 2 if version == (1, 0) else 4
    length = int.from_bytes(handle.read(width), "little")
    if length > MAX_HEADER:
        raise DataError(f"a header of {length:,} bytes", file=file, hint="write the matrix again with numpy.save")
    handle.seek(-width, os.SEEK_CUR)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    promised, present = math.prod(shape) * dtype.itemsize, os.path.getsize(file) - handle.tell()
    if promised > present:
        raise DataError(f"{present:,} bytes of values, expected {promised:,} for {shape}", file=file)


def _features(matrix: NDArray[np.float32], file: Path) -> Features:
    missing = np.asarray(np.isnan(matrix).all(axis=1))
    matrix = np.where(missing[:, None], 0, matrix).astype(np.float32)
    bad = ~np.isfinite(matrix).all(axis=1)
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        raise DataError("not a finite number", file=file, row=at + 1, hint="mark absent items with zeros")
    identity = f"given:{digest(np.ascontiguousarray(matrix).tobytes())}"
    return Features(matrix, np.any(matrix != 0, axis=1), identity=identity)


def _archive(file: Path) -> dict[str, Graph]:
    check_regular(file, file.parent)
    try:
        with ZipFile(file) as members:
            unpacked = sum(one.file_size for one in members.infolist())
        if unpacked > max(UNPACKED, 100 * os.path.getsize(file)):
            raise DataError(f"unpacks to {unpacked >> 20} MiB", file=file, hint="write it again with numpy.savez")
        with np.load(file, allow_pickle=False) as archive:
            names = [key.removesuffix("_idx") for key in archive.files if key.endswith("_idx")]
            graphs = {n: (archive[f"{n}_idx"].astype(np.int64), archive[f"{n}_cos"].astype(np.float32)) for n in names}
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise DataError(f"not a k-NN archive of <modality>_idx and <modality>_cos ({error})", file=file) from error
    for name, (neighbours, cosines) in graphs.items():
        if neighbours.ndim != 2 or neighbours.shape != cosines.shape:
            raise DataError(f"shapes {neighbours.shape} and {cosines.shape} differ", file=file, key=name)
        outside = (neighbours >= len(neighbours)).any(axis=1)
        if outside.any():
            raise DataError("a neighbour beyond the last item", file=file, row=int(outside.argmax()) + 1, key=name)
    return graphs


def _edges(neighbours: NDArray[np.int64], cosines: NDArray[np.float32]) -> Edges:
    n, k = neighbours.shape
    source = np.repeat(np.arange(n), k)
    keep = neighbours.ravel() >= 0
    return Edges(source[keep], neighbours.ravel()[keep], cosines.ravel()[keep])
