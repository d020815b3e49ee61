"""Ready-made vectors and neighbour graphs beside the tables: ``<modality>_feat.npy`` and ``knn*.npz``."""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.errors import DataError
from palate.core.files import digest
from palate.data.relations import Edges, Relations

Graph = tuple[NDArray[np.int64], NDArray[np.float32]]
_ALIASES = {"v": "image", "vision": "image", "visual": "image", "t": "text", "a": "audio"}


def given_features(folder: Path, rows: int | None = None) -> dict[str, Features]:
    """Every ``<modality>_feat.npy`` as features by modality; an all-zero or all-NaN row is absent.

    Args:
        rows: how many rows each must have.
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
    """Every ``<modality>_idx`` [n, k] and ``<modality>_cos`` [n, k] of every ``knn*.npz``; -1 marks no neighbour."""
    found = {name: graph for file in sorted(folder.glob("knn*.npz")) for name, graph in _archive(file).items()}
    return {_ALIASES.get(name, name): graph for name, graph in found.items()}


def graph_relations(graphs: dict[str, Graph]) -> Relations:
    """``knn_<modality>`` edges."""
    return Relations({f"knn_{name}": _edges(*graph) for name, graph in graphs.items()})


def write_features(given: dict[str, Features], folder: Path) -> None:
    """Save pooled vectors as float16/32 matrices, absent rows zero."""
    for name, features in given.items():
        if features.kind != "pooled":
            raise DataError(f"{features.kind} features have no place in this layout", key=name)
        kept = np.repeat(features.present, features.values.shape[1]).reshape(features.values.shape)
        np.save(folder / f"{name}_feat.npy", np.where(kept, features.values, 0))


def write_graphs(relations: Relations, n_items: int, folder: Path) -> None:
    """Save ``knn_<modality>`` edges as an archive, padded with -1."""
    arrays: dict[str, NDArray] = {}
    for name, edges in relations.edges.items():
        if not name.startswith("knn_") or edges.target_kind != "item":
            raise DataError("this relation has no place in this layout", key=name)
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
    try:
        matrix = np.load(file, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"not a plain .npy matrix ({error})", file=file) from error
    if matrix.ndim != 2 or matrix.dtype.kind not in "fiu":
        raise DataError(f"expected numbers [items, d], found {matrix.dtype} {matrix.shape}", file=file)
    values: NDArray[np.float32] = matrix.astype(np.float32)
    return values


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
    try:
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
