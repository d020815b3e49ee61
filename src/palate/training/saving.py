"""The run folder: everything a model needs to recommend on another machine. No pickle."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import torch
import yaml

from palate.contracts import InputSpec, Model, models
from palate.core.artifacts import load_artifacts, save_artifacts
from palate.core.batch import RaggedArray
from palate.core.boundary import public
from palate.core.content import Features
from palate.core.errors import ArtefactError, NotFittedError, UnsupportedError
from palate.core.files import (
    atomic_folder,
    folder_digests,
    inside,
    read_json,
    read_tensors,
    verify,
    write_json,
    write_tensors,
    write_text,
)
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.features.saved_content import load_content, save_content
from palate.training.deployment import Deployment, deployment_of
from palate.training.log import FitLog

FORMAT = 1
TRAINING_FILE = "training.safetensors"

M = TypeVar("M", bound=Model)


def save(model: Model, folder: str | Path, extra: dict[str, Any] | None = None, training_tensors: bool = False) -> Path:
    """Write a run: config.yaml, model.safetensors, manifest.json, catalogue and encoders; it appears whole.

    Args:
        model: a fitted model.
        folder: where to write; an older run there is replaced.
        extra: more facts for the manifest (timings, command, openings of test).
        training_tensors: also keep, in a file of their own, the parameters that scoring does not need, so that
            another fit can start from them.

    Raises:
        NotFittedError: if the model is not fitted.
    """
    fitted, spec = deployment_of(model), model.input_spec
    if spec is None:
        raise NotFittedError(f"{model.name} is not fitted", hint="call fit(data) first")
    folder = Path(folder)
    with atomic_folder(folder) as aside:
        config = {"model": model.name, "settings": model.config.model_dump(mode="json")}
        write_text(aside / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        write_tensors(aside / "model.safetensors", model.saved_tensors())
        rest = _training_parameters(model) if training_tensors else {}
        if rest:
            write_tensors(aside / TRAINING_FILE, rest)
        _save_catalog(fitted, aside / "items")
        pl.DataFrame({"id": fitted.users.ids}).write_parquet(aside / "users.parquet")
        seen = {"indptr": torch.from_numpy(fitted.seen.indptr), "items": torch.from_numpy(fitted.seen.items)}
        write_tensors(aside / "seen.safetensors", seen)
        save_content(aside / "encoders", fitted.content, fitted.features)
        shape = {
            "n_users": spec.n_users,
            "n_items": spec.n_items,
            "features": dict(spec.features),
            "fields": dict(spec.fields),
        }
        manifest = {
            "format": FORMAT,
            "model": model.name,
            "about": fitted.about,
            "shape": shape,
            "facts": model.extra_state(),
            "artifacts": save_artifacts(aside / "artifacts", model.artifacts()),
            "user_tensors": {name: [rows.start, rows.stop] for name, rows in model.user_tensors().items()},
            "log": asdict(fitted.log) if fitted.log else None,
            "versions": versions(),
            "files": folder_digests(aside),
            **(extra or {}),
        }
        write_json(aside / "manifest.json", manifest)
    return folder


@public
def restore(folder: str | Path) -> Model:
    """Read a run folder.

    Args:
        folder: written by ``save`` or ``palate fit``.

    Returns:
        The fitted model.

    Raises:
        ArtefactError: for a damaged or unsafe run, or one of a newer format, naming the file.
    """
    folder = Path(folder)
    if not (folder / "manifest.json").is_file():
        raise ArtefactError("not a run folder", file=folder, hint="expected manifest.json, written by palate fit")
    manifest = read_json(folder / "manifest.json")
    written = manifest.get("format") if isinstance(manifest, dict) else None
    if not isinstance(written, int):
        raise ArtefactError("no format version", file=folder / "manifest.json")
    if written > FORMAT:
        raise ArtefactError(
            f"written by a newer format {written}", file=folder / "manifest.json", hint="upgrade palate"
        )
    verify(folder, manifest.get("files", {"model.safetensors": ""}))
    config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    kind = models.get(str(config["model"]))
    model = kind(**config["settings"])
    shape = manifest["shape"]
    items = _load_catalog(folder / "items")
    content, features = load_content(folder / "encoders", len(items))
    model.use_artifacts(load_artifacts(folder / "artifacts"))
    model.build(InputSpec(int(shape["n_users"]), int(shape["n_items"]), shape["features"], shape.get("fields", {})))
    model.load_extra_state(manifest["facts"])
    model.load_tensors(read_tensors(folder / "model.safetensors"))
    model.drop_training_tensors()
    model.update_items(content.model_features(features))
    users = IdMap(pl.read_parquet(folder / "users.parquet")["id"], "user")
    seen = read_tensors(folder / "seen.safetensors")
    log = FitLog(**manifest["log"]) if manifest.get("log") else None
    lists = RaggedArray(seen["indptr"].numpy(), seen["items"].numpy())
    model.deployment = Deployment(items, users, lists, content, features, manifest["about"], log)
    model.eval()
    return model


def read_parameters(run: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a run from which another fit can start.

    Raises:
        ArtefactError: if a file of the run cannot be read.
    """
    files = [Path(run) / name for name in ("model.safetensors", TRAINING_FILE)]
    return {
        name: tensor
        for file in files
        if file == files[0] or file.is_file()
        for name, tensor in read_tensors(file).items()
    }


def restore_as(folder: str | Path, kind: type[M]) -> M:
    """Read a run whose model must be of a kind.

    Args:
        folder: that ``palate fit`` wrote.
        kind: a contract, such as :class:`palate.contracts.Matcher`.

    Raises:
        ArtefactError: for a folder that is not a run, or is damaged, unsafe or newer.
        UnsupportedError: when the model is of another kind.
    """
    model = restore(folder)
    if not isinstance(model, kind):
        raise UnsupportedError(
            f"{model.name} is a model of the task {model.task_name!r}, this needs a {kind.__name__}",
            file=folder,
            hint="palate models shows the task of each model",
        )
    return model


def versions() -> dict[str, str]:
    """Versions that can change a number."""
    names = ("torch", "numpy", "scipy", "polars")
    return {"python": sys.version.split()[0], "palate": _version("palate")} | {name: _version(name) for name in names}


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "source"


def _training_parameters(model: Model) -> dict[str, torch.Tensor]:
    """Parameters of the model itself that :meth:`Model.saved_tensors` leaves out; members are trained on their own."""
    members = tuple(f"{name}." for name, part in model.named_modules() if name and isinstance(part, Model))
    names = model.training_tensors()
    return {n: p for n, p in model.named_parameters() if n in names and not n.startswith(members)}


def _save_catalog(fitted: Deployment, folder: Path) -> None:
    folder.mkdir()
    items = fitted.items
    items.frame.write_parquet(folder / "items.parquet")
    pl.DataFrame({"id": items.ids.ids}).write_parquet(folder / "ids.parquet")
    given = {}
    for name, features in items.given.items():
        tensors = {
            "values": torch.from_numpy(np.ascontiguousarray(features.values)),
            "present": torch.from_numpy(features.present),
        }
        write_tensors(inside(folder, f"given-{name}.safetensors"), tensors)
        given[name] = features.identity
    root = None if items.root is None else os.path.abspath(items.root)
    write_json(folder / "catalog.json", {"kinds": dict(items.kinds), "root": root, "given": given})


def _load_catalog(folder: Path) -> Catalog:
    facts = read_json(folder / "catalog.json")
    given = {}
    for name, identity in facts["given"].items():
        tensors = read_tensors(inside(folder, f"given-{name}.safetensors"))
        given[name] = Features(tensors["values"].numpy(), tensors["present"].numpy(), identity=identity)
    ids = IdMap(pl.read_parquet(folder / "ids.parquet")["id"], "item")
    root = None if facts["root"] is None else Path(facts["root"])
    return Catalog(pl.read_parquet(folder / "items.parquet"), ids, facts["kinds"], root, given)
