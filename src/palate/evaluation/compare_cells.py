"""Cells of a comparison: one model with one seed, fitted once, and what the test part says of it; kept in a folder."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palate.contracts.parse import parse_model
from palate.core.files import atomic_path, digest, read_json, write_json
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.evaluate import evaluate
from palate.evaluation.known import KNOWN
from palate.evaluation.memory import peak, reset_peak
from palate.evaluation.missing import MissingModalities, hide_content
from palate.evaluation.own_metrics import Metrics, metric_names
from palate.features.plan import plan_content
from palate.features.store import FeatureStore
from palate.training.deployment import deployment_of, log_of
from palate.training.fit import fit
from palate.training.saving import restore, save


def draw(data: Dataset, seed: int) -> Dataset:
    """The data as a seed sees them: in cold protocols it decides the split as well.

    Args:
        data: dataset with a split.
        seed: of the cell.
    """
    if data.spec.kind not in ("item_cold", "user_cold"):
        return data
    return data.with_split(data.spec.model_copy(update={"seed": seed}))


def fit_cell(
    data: Dataset,
    variant: str,
    seed: int,
    folder: Path,
    store: FeatureStore,
    encoders: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Fit a model with one seed, unless the folder has it; test stays sealed.

    Args:
        data: dataset with a split.
        variant: of a model, see :func:`palate.contracts.parse.parse`.
        seed: of everything random.
        folder: of all cells.
        store: of encoded vectors.
        encoders: feature -> encoder.

    Returns:
        What is known of the cell: its key, settings, time, memory and validation.
    """
    model = parse_model(variant)
    settings = model.config.model_dump_json()
    code, chosen = code_version(), repr(sorted((encoders or {}).items()))
    key = digest(variant, settings, str(seed), data.hash, str(data.spec), str(data.positive), chosen, code)
    done = folder / key / "cell.json"
    if done.is_file():
        cell: dict[str, Any] = read_json(done)
        return cell | {"stored_mib": stored_mib(done.with_name("run"))}
    content = plan_content(data, encoders, store)
    started, before = time.perf_counter(), reset_peak()
    fitted = fit(model, data, seed=seed, content=content, checkpoint=folder / f"{key}.checkpoint")
    fitted_log = log_of(fitted)
    cell = {
        "key": key,
        "code": code,
        "model": variant,
        "seed": seed,
        "seconds": time.perf_counter() - started,
        "stages": fitted_log.seconds,
        "peak_mib": peak() / 2**20,
        "peak_growth_mib": (peak() - before) / 2**20,
        "parameters": sum(p.numel() for p in fitted.parameters()),
        "trained": fitted_log.trained,
        "content_mib": fitted_log.content_bytes / 2**20,
        "valid": fitted_log.valid,
        "metric": fitted_log.metric,
        "selected": fitted_log.selected,
        "content": fitted.capabilities.content,
        "epochs": len(fitted_log.history),
    }
    save(fitted, folder / key / "run", overwrite=True)
    write_json(done, cell)
    shutil.rmtree(folder / f"{key}.checkpoint", ignore_errors=True)
    return cell | {"stored_mib": stored_mib(done.with_name("run"))}


def stored_mib(run: Path) -> float:
    """MiB of a run: everything that serving needs, encoders included.

    Args:
        run: its folder.
    """
    return sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 2**20


def answers_file(folder: Path, cell: Mapping[str, Any], gaps: MissingModalities) -> Path:
    """Where the answers of a cell's model to the test part are kept.

    Args:
        folder: of all cells.
        cell: what :func:`fit_cell` returned.
        gaps: modalities that items lack at test.
    """
    return folder / str(cell["key"]) / f"{gaps.name}.npz"


def judge_cell(
    data: Dataset, cell: dict[str, Any], folder: Path, gaps: MissingModalities, store: FeatureStore, metrics: Metrics
) -> dict[str, np.ndarray]:
    """Judge a cell's model on the test part, unless the folder has the answers.

    Args:
        data: dataset with the split of the cell.
        cell: what :func:`fit_cell` returned.
        folder: of all cells.
        gaps: modalities that items lack at test.
        store: of encoded vectors.
        metrics: further metrics.

    Returns:
        Metric -> values by unit, and what else was measured under names with a bar.
    """
    file = answers_file(folder, cell, gaps)
    if file.is_file():
        with np.load(file, allow_pickle=False) as saved:
            if set(metric_names(metrics)) <= set(saved.files):
                return dict(saved)
    model = restore(folder / cell["key"] / "run")
    if gaps.rate:
        deployment = deployment_of(model)
        deployment.content = deployment.content.with_store(store)
        hide_content(model, data, gaps.rate, data.spec.seed, gaps.modalities)
    result = evaluate(model, data, metrics)
    arrays = dict(result.per_unit) | {"seconds": np.array([result.seconds])}
    arrays |= {f"about/{KNOWN}": np.array([result.about[KNOWN]])} if KNOWN in result.about else {}
    arrays |= {f"beyond/{name}": np.array([value]) for name, value in result.beyond.items()}
    for name, values in result.slices.items():
        arrays |= {f"slice/{name}/{metric}": np.array([value]) for metric, value in values.items()}
    arrays = {name.replace("/", "|"): value for name, value in arrays.items()}
    with atomic_path(file) as aside, open(aside, "wb") as handle:
        np.savez(handle, **arrays)
    return arrays
