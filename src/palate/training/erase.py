"""Erase a user from a run: id, history and vectors go, everything else stays as it is."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import torch
from markupsafe import escape
from torch import Tensor

from palate.core.files import atomic_folder, file_digest, read_json, read_tensors, write_json, write_tensors, write_text

from .saving import TRAINING_FILE

REPORT = "report.html"
STACKED = ("table", "ids")
"""Tensors with a row for each user and then one for each item, in runs that do not name their tensors of users."""


def erase_user(run: str | Path, user: object) -> bool:
    """Rewrite a run without what it holds of a user. The run changes as a whole.

    The row stays, so that all other rows mean what they meant: its id becomes one that no user has, its history empty,
    and it becomes zero in every tensor that the manifest lists under ``user_tensors``; a report loses the article that
    shows the user. What a model learnt of all users together stays. Files that do not change are linked, not copied.

    Args:
        run: the run folder, or a link to it.
        user: external id.

    Returns:
        Whether the run held anything of the user.

    Raises:
        ArtefactError: if a file of the run cannot be read.
    """
    run = Path(os.path.realpath(run))
    ids = pl.read_parquet(run / "users.parquet")
    row = ids["id"].cast(pl.String).index_of(str(user))
    if row is None:
        return False
    manifest = read_json(run / "manifest.json")
    changed = ["users.parquet", "seen.safetensors"]
    with atomic_folder(run) as aside:
        shutil.copytree(run, aside, copy_function=os.link, dirs_exist_ok=True)
        (aside / "users.parquet").unlink()
        unused = f"forgotten-{uuid4().hex}" if ids["id"].dtype == pl.String else -1 - (uuid4().int >> 66)
        ids.with_columns(ids["id"].scatter(row, unused)).write_parquet(aside / "users.parquet")
        write_tensors(aside / "seen.safetensors", _without_history(read_tensors(run / "seen.safetensors"), row))
        for name in ("model.safetensors", TRAINING_FILE):
            if (run / name).is_file():
                write_tensors(aside / name, _without_vectors(read_tensors(run / name), row, manifest))
                changed.append(name)
        if (run / REPORT).is_file():
            write_text(aside / REPORT, _without_article((run / REPORT).read_text(encoding="utf-8"), str(user)))
            changed += [REPORT] * (REPORT in manifest["files"])
        manifest["forgotten"] = [*manifest.get("forgotten", []), row]
        for name in changed:
            manifest["files"][name] = file_digest(aside / name)
        write_json(aside / "manifest.json", manifest)
    return True


def _without_vectors(tensors: Mapping[str, Tensor], row: int, manifest: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors with the user's row zero in those that hold users."""
    named: Mapping[str, tuple[int, int]] | None = manifest.get("user_tensors")
    out = dict(tensors)
    for name, tensor in tensors.items():
        start = _first_user(name, tensor, manifest["shape"]) if named is None else named.get(name, (None,))[0]
        if start is not None:
            out[name] = tensor.index_fill(0, torch.tensor([start + row]), 0)
    return out


def _first_user(name: str, tensor: Tensor, shape: Mapping[str, Any]) -> int | None:
    """The first row of users in a tensor of a run that does not name them, guessed from its size and name."""
    n_users, n_items, leaf = int(shape["n_users"]), int(shape["n_items"]), name.rpartition(".")[2]
    if not tensor.ndim:
        return None
    stacked = len(tensor) == n_users + n_items and leaf in STACKED
    by_user = len(tensor) == n_users and (n_users != n_items or "user" in leaf or leaf == "preference")
    return 0 if stacked or by_user else None


def _without_article(report: str, user: str) -> str:
    """The report without the article of a user, whom it may show as an example."""
    name = re.escape(str(escape(user)))
    return re.sub(rf'<article class="person">\s*<strong>{name}</strong>.*?</article>\s*', "", report, flags=re.DOTALL)


def _without_history(seen: Mapping[str, Tensor], row: int) -> dict[str, Tensor]:
    out = {}
    for name in [key.removesuffix("indptr") for key in seen if key.endswith("indptr")]:
        starts, items = seen[f"{name}indptr"], seen[f"{name}items"]
        start, stop = int(starts[row]), int(starts[row + 1])
        lengths = np.diff(starts.numpy())
        lengths[row] = 0
        out[f"{name}indptr"] = torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)]))
        out[f"{name}items"] = torch.cat([items[:start], items[stop:]])
    return out
