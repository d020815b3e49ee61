"""The run folder: everything a model needs to recommend on another machine. No pickle."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl
import torch
import yaml

from palate.contracts import InputSpec, Model
from palate.contracts.parse import registry_of
from palate.core.artifacts import load_artifacts, save_artifacts
from palate.core.batch import RaggedArray
from palate.core.boundary import public
from palate.core.content import Features
from palate.core.errors import NotFittedError, UnsupportedError
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
from palate.core.output import check_output
from palate.core.stable_read import read_stable
from palate.data.catalog import Catalog
from palate.data.ids import IdMap
from palate.features.saved_content import load_content, save_content
from palate.training.deployment import Deployment, deployment_of
from palate.training.log import FitLog
from palate.training.manifest import FORMAT, MANIFEST, TRAINING_FILE, read_manifest, reading
from palate.training.replacing import RunIdentity, check_replacement, keep_rest, kept_facts

M = TypeVar("M", bound=Model)


def save(
    model: Model,
    folder: str | Path,
    extra: Mapping[str, Any] | None = None,
    training_tensors: bool = False,
    *,
    overwrite: bool = False,
    reports: Callable[[Path], None] | None = None,
) -> Path:
    """Write a run: config.yaml, model.safetensors, manifest.json, catalogue and encoders; it appears whole.

    The same fit (model, settings, data, split, seed) is replaced in place: the greater count of openings of test is
    kept, and what others put into the folder stays.

    Args:
        model: a fitted model.
        folder: where to write: a new or empty folder, or one with the same fit.
        extra: more facts for the manifest (timings, command, openings of test).
        training_tensors: also keep, in a file of their own, the parameters that scoring does not need, so that
            another fit can start from them.
        overwrite: replace whatever run is there; a folder that is no run is refused all the same.
        reports: writes files for people into the folder before it appears.

    Raises:
        NotFittedError: if the model is not fitted.
        ArtefactError: for a folder that is not a run, holds another run, or one that was changed since it was fitted.
    """
    fitted = deployment_of(model)
    new, folder = RunIdentity.of(model.name, fitted.about), Path(folder)
    check_output(folder, "run", fitted.items.root)
    with atomic_folder(folder) as aside:
        target = Path(os.path.realpath(folder))
        former = check_replacement(target, new, fitted.items.ids.ids, fitted.users.ids, overwrite)
        same = bool(former) and new.difference(RunIdentity.of(str(former["model"]), former["about"])) is None
        manifest = write_run(model, aside, training_tensors) | kept_facts(former, new, extra or {})
        if reports is not None:
            reports(aside)
        manifest["reports"] = keep_rest(target, aside, former, same)
        write_json(aside / MANIFEST, manifest)
    return folder


def write_run(model: Model, folder: Path, training_tensors: bool = False) -> dict[str, Any]:
    """Write all files of a run but the manifest.

    Args:
        model: a fitted model.
        folder: an empty folder.
        training_tensors: as in :func:`save`.

    Returns:
        The content of the manifest.

    Raises:
        NotFittedError: if the model is not fitted.
    """
    fitted, spec = deployment_of(model), model.input_spec
    if spec is None:
        raise NotFittedError(f"{model.name} is not fitted", hint="call fit(data) first")
    config = {"model": model.name, "settings": model.config.model_dump(mode="json")}
    write_text(folder / "config.yaml", yaml.safe_dump(config, sort_keys=False))
    tensors = model.saved_tensors()
    write_tensors(folder / "model.safetensors", tensors)
    rest = _training_parameters(model) if training_tensors else {}
    if rest:
        write_tensors(folder / TRAINING_FILE, rest)
    _save_catalog(fitted, folder / "items")
    pl.DataFrame({"id": fitted.users.ids}).write_parquet(folder / "users.parquet")
    seen = {"indptr": torch.from_numpy(fitted.seen.indptr), "items": torch.from_numpy(fitted.seen.items)}
    if fitted.also_seen is not None:
        seen["also.indptr"] = torch.from_numpy(fitted.also_seen.indptr)
        seen["also.items"] = torch.from_numpy(fitted.also_seen.items)
    write_tensors(folder / "seen.safetensors", seen)
    save_content(folder / "encoders", fitted.content, fitted.features)
    shape = {
        "n_users": spec.n_users,
        "n_items": spec.n_items,
        "features": dict(spec.features),
        "fields": dict(spec.fields),
        "maps": {name: list(sizes) for name, sizes in spec.maps.items()},
    }
    return {
        "format": FORMAT,
        "model": model.name,
        "about": fitted.about,
        "shape": shape,
        "facts": model.extra_state(),
        "tensors": {name: list(tensors[name].shape) for name in sorted(tensors)},
        "artifacts": save_artifacts(folder / "artifacts", model.artifacts()),
        "user_tensors": {name: [rows.start, rows.stop] for name, rows in model.user_tensors().items()},
        "log": asdict(replace(fitted.log, valid_units=None)) if fitted.log else None,
        "versions": versions(),
        "files": folder_digests(folder),
    }


@public
def restore(folder: str | Path) -> Model:
    """Read a run folder, also while another process replaces it.

    Args:
        folder: written by ``save`` or ``palate fit``.

    Returns:
        The fitted model.

    Raises:
        ArtefactError: for a damaged or unsafe run, or one of another format, naming the file.
    """
    return read_stable(folder, MANIFEST, _restore)


def _restore(folder: Path) -> Model:
    manifest = read_manifest(folder)
    verify(folder, manifest["files"])
    with reading(folder / "config.yaml"):
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        model: Model = registry_of(str(config["model"])).get(str(config["model"]))(**config["settings"])
    with reading(folder / "items"):
        items = _load_catalog(folder / "items")
    with reading(folder / "users.parquet"):
        users = IdMap(pl.read_parquet(folder / "users.parquet")["id"], "user")
    with reading(folder / MANIFEST, "shape"):
        shape = manifest["shape"]
        widths, fields = dict(shape["features"]), dict(shape.get("fields", {}))
        maps = {name: tuple(sizes) for name, sizes in shape.get("maps", {}).items()}
        spec = InputSpec(int(shape["n_users"]), int(shape["n_items"]), widths, fields, maps)
        if spec.n_users != len(users.ids) or not 0 <= spec.n_items <= len(items):
            raise ValueError(f"not of {len(users.ids)} users and {len(items)} items")
    with reading(folder / "seen.safetensors"):
        seen, also_seen = _load_seen(folder / "seen.safetensors", spec.n_users, len(items))
    with reading(folder / "encoders"):
        content, features = load_content(folder / "encoders", len(items))
    with reading(folder / "artifacts"):
        model.use_artifacts(load_artifacts(folder / "artifacts"))
    with reading(folder / "model.safetensors"):
        model.build(spec)
        with reading(folder / MANIFEST, "facts"):
            model.load_extra_state(manifest["facts"])
        tensors = read_tensors(folder / "model.safetensors")
        _check_tensors(tensors, manifest.get("tensors"))
        model.load_tensors(tensors)
        model.drop_training_tensors()
        model.update_items(content.model_features(features))
        model.meet_catalog(items)
    with reading(folder / MANIFEST, "log"):
        log = FitLog(**manifest["log"]) if manifest.get("log") else None
    model.deployment = Deployment(items, users, seen, content, features, manifest["about"], log, also_seen)
    model.eval()
    return model


def read_parameters(run: str | Path) -> dict[str, torch.Tensor]:
    """Tensors of a run from which another fit can start.

    Args:
        run: the run folder.

    Raises:
        ArtefactError: if a file of the run cannot be read.
    """
    return read_stable(run, MANIFEST, _read_parameters)


def _read_parameters(run: Path) -> dict[str, torch.Tensor]:
    files = [run / name for name in ("model.safetensors", TRAINING_FILE)]
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
    facts = {"kinds": dict(items.kinds), "root": root, "given": given, "decimals": dict(items.decimals)}
    write_json(folder / "catalog.json", facts)


def _check_tensors(found: Mapping[str, torch.Tensor], wanted: Mapping[str, list[int]] | None) -> None:
    """Compare names and shapes with those that were written; runs of before do not name them.

    Raises:
        ValueError: naming the first that differs.
    """
    if wanted is None:
        return
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found or list(found[name].shape) != wanted.get(name):
            raise ValueError(f"tensor {name} is missing, not expected or of another shape")


def _load_seen(file: Path, n_users: int, n_items: int) -> tuple[RaggedArray, RaggedArray | None]:
    """What each user took, and what else each user saw.

    Raises:
        ValueError: for lists that are not of these users and items.
    """
    tensors = read_tensors(file)
    also = _seen_lists(tensors, "also.", n_users, n_items) if "also.items" in tensors else None
    return _seen_lists(tensors, "", n_users, n_items), also


def _seen_lists(tensors: Mapping[str, torch.Tensor], prefix: str, n_users: int, n_items: int) -> RaggedArray:
    indptr, items = tensors[f"{prefix}indptr"].numpy(), tensors[f"{prefix}items"].numpy()
    if indptr.shape != (n_users + 1,) or items.ndim != 1 or indptr[0] != 0 or indptr[-1] != len(items):
        raise ValueError(f"not the lists of {n_users} users")
    if (np.diff(indptr) < 0).any() or (len(items) and not 0 <= items.min() <= items.max() < n_items):
        raise ValueError(f"not lists of {n_items} items")
    return RaggedArray(indptr, items)


def _load_catalog(folder: Path) -> Catalog:
    facts = read_json(folder / "catalog.json")
    given = {}
    for name, identity in facts["given"].items():
        tensors = read_tensors(inside(folder, f"given-{name}.safetensors"))
        given[name] = Features(tensors["values"].numpy(), tensors["present"].numpy(), identity=identity)
    ids = IdMap(pl.read_parquet(folder / "ids.parquet")["id"], "item")
    root = None if facts["root"] is None else Path(facts["root"])
    frame = pl.read_parquet(folder / "items.parquet")
    return Catalog(frame, ids, facts["kinds"], root, given, decimals=facts.get("decimals", {}))
