"""What other systems can use of a run: vectors, a scoring graph, and lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

from palate.contracts import Matcher, Model, models
from palate.core.errors import UnsupportedError
from palate.core.files import atomic_path, write_tensors
from palate.core.output import claimed
from palate.ranking.scorer import Scorer, VectorScorer
from palate.training.deployment import Deployment, deployment_of

from .onnx import write_onnx

LISTS = 20
"""Length of exported lists."""
USER_BLOCK = 10_000


def export_model(model: Model, out: str | Path, onnx: bool = False) -> list[str]:
    """Write what the model has: its vectors, those of its members, or lists.

    A model with vectors leaves items.parquet and users.parquet (id, vector) and vectors.safetensors. A composed model
    leaves these for each member that has vectors, in a folder of the member's name, and lists.parquet (user, item,
    score, rank), the ``LISTS`` best items of each known user without what the user took. Any other model leaves
    lists.parquet.

    Args:
        model: fitted.
        out: folder to write: new, empty, or with what was exported before, which is replaced.
        onnx: write scorer.onnx beside vectors (see :func:`palate.evaluation.onnx.write_onnx`).

    Returns:
        The paths.

    Raises:
        UnsupportedError: the model recommends no items, or ``onnx`` is asked of one without vectors.
        ArtefactError: for a folder that holds something else.
    """
    if not isinstance(model, Matcher):
        raise UnsupportedError(f"{model.name} has neither vectors nor lists", hint=_able("lists"))
    fitted = deployment_of(model)
    with claimed(out, "set of vectors", fitted.items.root):
        return _export(model, fitted, Path(out), onnx)


def _export(model: Matcher, fitted: Deployment, folder: Path, onnx: bool) -> list[str]:
    scorer = model.scorer()
    if isinstance(scorer, VectorScorer):
        return _vectors(scorer, fitted, folder, onnx)
    members = {name: _whole(part) for name, part in scorer.members().items()}
    able = {name: part for name, part in members.items() if isinstance(part, VectorScorer)}
    if onnx and not able:
        raise UnsupportedError(f"{model.name} has no vectors for an ONNX graph", key="onnx", hint=_able("onnx"))
    paths = [path for name, part in able.items() for path in _vectors(part, fitted, folder / name, onnx)]
    return [*paths, _lists(model, fitted, folder / "lists.parquet")]


def _able(export: str) -> str:
    """Names of the models that can."""
    return "models that can: " + ", ".join(name for name, kind in models.items() if export in kind.exports)


def _whole(scorer: Scorer) -> Scorer:
    """The scorer inside one that was padded to a catalogue that has grown."""
    return getattr(scorer, "base", scorer)


def _vectors(scorer: VectorScorer, fitted: Deployment, folder: Path, onnx: bool) -> list[str]:
    # a member that cannot take in new items has vectors of the first rows only
    named = {
        "items": (fitted.items.ids.ids[: len(scorer.items)], scorer.items),
        "users": (fitted.users.ids, scorer.users),
    }
    paths = []
    for name, (ids, vectors) in named.items():
        values = np.ascontiguousarray(vectors.cpu().numpy(), dtype=np.float32)
        paths.append(_parquet(pl.DataFrame({"id": ids, "vector": values}), folder / f"{name}.parquet"))
    write_tensors(folder / "vectors.safetensors", {name: vectors for name, (_, vectors) in named.items()})
    paths.append(str(folder / "vectors.safetensors"))
    return [*paths, write_onnx(scorer, folder / "scorer.onnx")] if onnx else paths


def _lists(model: Matcher, fitted: Deployment, path: Path) -> str:
    ids = fitted.users.ids.to_list()
    blocks = [ids[start : start + USER_BLOCK] for start in range(0, len(ids), USER_BLOCK)]
    return _parquet(pl.concat([fitted.recommend(model, block, LISTS) for block in blocks]), path)


def _parquet(table: pl.DataFrame, path: Path) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as aside:
        table.write_parquet(aside)
    return str(path)
