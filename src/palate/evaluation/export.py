"""Vectors out of a run, for a nearest-neighbour index or another system."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import torch

from palate.contracts import Matcher, Model
from palate.core.errors import UnsupportedError
from palate.core.files import atomic_path, write_tensors
from palate.core.output import claimed
from palate.ranking.scorer import VectorScorer
from palate.training.deployment import Deployment, deployment_of

from .onnx import write_onnx


def export_vectors(model: Model, out: str | Path, onnx: bool = False) -> list[str]:
    """Write items.parquet, users.parquet (id, vector) and vectors.safetensors; returns the paths.

    Args:
        model: fitted.
        out: folder to write: new, empty, or with vectors that were exported before, which are replaced.
        onnx: write scorer.onnx as well (see :func:`palate.evaluation.onnx.write_onnx`).

    Raises:
        UnsupportedError: the model scores without vectors.
        ArtefactError: for a folder that holds something else.
    """
    scorer = model.scorer() if isinstance(model, Matcher) else None
    if not isinstance(scorer, VectorScorer):
        raise UnsupportedError(f"{model.name} has no item vectors", hint="export a model with a dot-product score")
    fitted = deployment_of(model)
    with claimed(out, "set of vectors", fitted.items.root):
        return _export(scorer, fitted, Path(out), onnx)


def _export(scorer: VectorScorer, fitted: Deployment, folder: Path, onnx: bool) -> list[str]:
    """Write the files; returns their paths."""
    named = {"items": (fitted.items.ids.ids, scorer.items), "users": (fitted.users.ids, scorer.users)}
    paths = []
    for name, (ids, vectors) in named.items():
        values = np.ascontiguousarray(vectors.cpu().numpy(), dtype=np.float32)
        table = pl.DataFrame({"id": ids, "vector": values})
        with atomic_path(folder / f"{name}.parquet") as aside:
            table.write_parquet(aside)
        paths.append(str(folder / f"{name}.parquet"))
    tensors = {name: torch.as_tensor(vectors) for name, (_, vectors) in named.items()}
    write_tensors(folder / "vectors.safetensors", tensors)
    paths.append(str(folder / "vectors.safetensors"))
    return [*paths, write_onnx(scorer, folder / "scorer.onnx")] if onnx else paths
