"""Erase a user from a run: id, history and vectors go, everything else stays as it is."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import polars as pl
import torch
from markupsafe import escape
from torch import Tensor

from palate.core.artifacts import load_artifact, save_artifacts
from palate.core.asides import asides, mend, parse, remove
from palate.core.errors import ArtefactError
from palate.core.files import atomic_folder, file_digest, read_tensors, write_json, write_tensors, write_text
from palate.core.locks import WAIT, locked
from palate.core.output import link_or_copy

from .manifest import MANIFEST, TRAINING_FILE, erased_rows, read_manifest, reading
from .replacing import checkpoint_of

log = logging.getLogger("palate")
REPORT = "report.html"
COUNTERS = "counters"
"""Artifact of rankers with the events that their counters are made of."""
STACKED = ("table", "ids")
"""Tensors with a row for each user and then one for each item, in runs that do not name their tensors of users."""


def erase_user(run: str | Path, user: object) -> bool:
    """Rewrite a run without what it holds of a user. The run changes as a whole.

    The row stays, so that all other rows mean what they meant: its id becomes one that no user has, its history empty,
    and it becomes zero in every tensor that the manifest lists under ``user_tensors``; a report loses the article that
    shows the user. What a model learnt of all users together stays. Files that do not change are linked, not copied.
    Another writer of the run is waited for. Copies that a killed writer left, and the checkpoint of a fit that does not
    run, go as well.

    Args:
        run: the run folder, or a link to it.
        user: external id.

    Returns:
        Whether the run held anything of the user.

    Raises:
        ArtefactError: if a file of the run cannot be read, another writer takes too long, or a copy of the run as it
            was cannot be removed.
        OSError: if the run cannot be replaced, as on a read-only file system.
    """
    run = Path(os.path.realpath(run))
    mend(run, wait=WAIT)
    if _row(run, user) is None:
        return False
    with locked(run):
        # another writer may have come first
        row = _row(run, user)
        if row is not None:
            _rewrite(run, row, str(user))
            _remove_copies(run)
    return row is not None


def user_ids(run: str | Path) -> list[str]:
    """Ids of the users whom a run knows, as text.

    Args:
        run: the run folder.

    Raises:
        ArtefactError: if the file cannot be read.
    """
    with reading(Path(run) / "users.parquet"):
        return pl.read_parquet(Path(run) / "users.parquet")["id"].cast(pl.String).to_list()


def _row(run: Path, user: object) -> int | None:
    known = user_ids(run)
    return known.index(str(user)) if str(user) in known else None


def _remove_copies(run: Path) -> None:
    """Remove what could still hold the user beside the run."""
    checkpoint = checkpoint_of(run)
    if checkpoint.exists():
        try:
            with locked(checkpoint, wait=0.0):
                remove(checkpoint)
        except ArtefactError:
            # a fit that runs has read the user's data before; it replaces the run only when told to
            log.info("%s: a fit is running", checkpoint)
    left = [found.path for found in asides(run.parent, run.name)]
    if left:
        raise ArtefactError("a former copy of the run could not be removed", file=left[0], hint="remove it")


def _rewrite(run: Path, row: int, user: str) -> None:
    """Replace the run by one without a user."""
    manifest = read_manifest(run)
    with reading(run / "users.parquet"):
        ids = pl.read_parquet(run / "users.parquet")
    changed = ["users.parquet", "seen.safetensors"]
    with atomic_folder(run) as aside:
        _link_all(run, aside)
        (aside / "users.parquet").unlink()
        unused = f"erased-{uuid4().hex}" if ids["id"].dtype == pl.String else -1 - (uuid4().int >> 66)
        ids.with_columns(ids["id"].scatter(row, unused)).write_parquet(aside / "users.parquet")
        write_tensors(aside / "seen.safetensors", _without_history(read_tensors(run / "seen.safetensors"), row))
        for name in ("model.safetensors", TRAINING_FILE):
            if (run / name).is_file():
                write_tensors(aside / name, _without_vectors(read_tensors(run / name), row, manifest))
                changed.append(name)
        changed += _without_counted(aside, row)
        if (run / REPORT).is_file():
            write_text(aside / REPORT, _without_article((run / REPORT).read_text(encoding="utf-8"), user))
            changed += [REPORT] * (REPORT in manifest["files"])
        manifest["erased"] = [*erased_rows(manifest), row]
        manifest.pop("forgotten", None)
        for name in changed:
            manifest["files"][name] = file_digest(aside / name)
        write_json(aside / MANIFEST, manifest)


def _without_counted(aside: Path, row: int) -> list[str]:
    """Take the user's events out of those that counters are made of; names of the files that changed."""
    place = aside / "artifacts" / COUNTERS
    if not place.is_dir():
        return []
    kept = load_artifact(place)
    others = kept.tensors["user"] != row
    shutil.rmtree(place)
    save_artifacts(place.parent, {COUNTERS: replace(kept, tensors={n: t[others] for n, t in kept.tensors.items()})})
    return [str(file.relative_to(aside)) for file in sorted(place.iterdir())]


def _link_all(folder: Path, aside: Path) -> None:
    """Give every file of a folder a second name; what a killed writer left in it stays behind."""
    for path in sorted(folder.rglob("*")):
        target = aside / path.relative_to(folder)
        if any(parse(Path(part)) for part in path.relative_to(folder).parts):
            continue
        if path.is_dir() and not path.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        else:
            link_or_copy(path, target)


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
