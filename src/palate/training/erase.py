"""Forgetting a user in a run: id, history and vectors go, everything else stays as it is."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from uuid import uuid4

import numpy as np
import polars as pl
import torch
from markupsafe import escape

from palate.core.files import atomic_folder, file_digest, read_json, read_tensors, write_json, write_tensors, write_text

REPORT = "report.html"


def erase_user(run: str | Path, user: object) -> bool:
    """Rewrite the run without what it holds of a user; whether it held anything. The run changes as a whole.

    The row stays, so that all other rows mean what they meant: its id becomes one that nobody has, its history empty,
    and its row of every tensor that has one row a user zero; a report loses the article
    that shows it. What a model learnt of all users together stays learnt.
    Files that do not change are linked, not copied.
    """
    run = Path(os.path.realpath(run))
    ids = pl.read_parquet(run / "users.parquet")
    named = ids["id"].cast(pl.String)
    row = named.index_of(str(user))
    if row is None:
        return False
    seen = read_tensors(run / "seen.safetensors")
    tensors = read_tensors(run / "model.safetensors")
    manifest = read_json(run / "manifest.json")
    n_users, n_items = int(manifest["shape"]["n_users"]), int(manifest["shape"]["n_items"])
    with atomic_folder(run) as aside:
        shutil.copytree(run, aside, copy_function=os.link, dirs_exist_ok=True)
        (aside / "users.parquet").unlink()
        nobody = f"forgotten-{uuid4().hex}" if ids["id"].dtype == pl.String else -1 - (uuid4().int >> 66)
        ids.with_columns(ids["id"].scatter(row, nobody)).write_parquet(aside / "users.parquet")
        write_tensors(aside / "seen.safetensors", _without(seen, row))
        for name, tensor in tensors.items():
            by_user = tensor.ndim and len(tensor) == n_users and (n_users != n_items or "user" in name)
            if by_user:
                tensors[name] = tensor.index_fill(0, torch.tensor([row]), 0)
        write_tensors(aside / "model.safetensors", tensors)
        changed = ["users.parquet", "seen.safetensors", "model.safetensors"]
        if (run / REPORT).is_file():
            write_text(aside / REPORT, _unshown((run / REPORT).read_text(encoding="utf-8"), str(user)))
            changed += [REPORT] * (REPORT in manifest["files"])
        manifest["forgotten"] = [*manifest.get("forgotten", []), row]
        for name in changed:
            manifest["files"][name] = file_digest(aside / name)
        write_json(aside / "manifest.json", manifest)
    return True


def _unshown(report: str, user: str) -> str:
    """The report without the article of a user, whom it may have chosen as an example."""
    name = re.escape(str(escape(user)))
    return re.sub(rf'<article class="person">\s*<strong>{name}</strong>.*?</article>\s*', "", report, flags=re.DOTALL)


def _without(seen: dict[str, torch.Tensor], row: int) -> dict[str, torch.Tensor]:
    start, stop = int(seen["indptr"][row]), int(seen["indptr"][row + 1])
    items = torch.cat([seen["items"][:start], seen["items"][stop:]])
    lengths = np.diff(seen["indptr"].numpy())
    lengths[row] = 0
    return {"indptr": torch.from_numpy(np.concatenate([[0], np.cumsum(lengths)])), "items": items}
