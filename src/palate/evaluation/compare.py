"""Models x seeds on one split: all selection first, then test is opened once; paired tests, time and memory."""

from __future__ import annotations

import itertools
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palate.contracts import Task
from palate.contracts.parse import parse_model
from palate.core.boundary import public
from palate.core.errors import ArtefactError, ConfigError, did_you_mean
from palate.core.files import atomic_path, digest, read_json, write_json, write_text
from palate.core.output import claimed
from palate.core.progress import track
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.compare_report import markdown
from palate.evaluation.evaluate import evaluate
from palate.evaluation.known import KNOWN, RANDOM, is_random
from palate.evaluation.memory import peak, reset_peak
from palate.evaluation.missing import MissingModalities, hide_content
from palate.evaluation.openings import one_opening, open_test, openings_of
from palate.evaluation.own_metrics import Metrics, metric_names
from palate.evaluation.runs import command_line
from palate.evaluation.sweep import draw_sweep, sweep_markdown
from palate.features.plan import plan_content
from palate.features.store import FeatureStore
from palate.metrics.bootstrap import compare_all
from palate.training.deployment import deployment_of, log_of
from palate.training.fit import fit
from palate.training.saving import restore, save, versions


@public
def compare(
    data: Dataset,
    models: Sequence[str],
    out: str | Path,
    *,
    seeds: int | Sequence[int] = (0, 1, 2),
    axes: Mapping[str, Sequence[str]] | None = None,
    missing: Sequence[float] = (0.0,),
    missing_of: Sequence[str] | None = None,
    baseline: str | None = None,
    encoders: Mapping[str, str] | None = None,
    store: str | Path | None = None,
    resamples: int = 10_000,
    overwrite: bool = False,
    metrics: Metrics = (),
) -> dict[str, Any]:
    """Fit every model with every seed, write what was selected, then open test for all.

    A test part is opened once for each selection: a call that only resumes opens nothing, one that adds models or
    seeds opens it again. ``openings_of_test`` in the result counts all openings of this test part on this machine, in
    whatever folder (of the most opened draw, where there are several). In ``item_cold`` and ``user_cold`` protocols a
    seed is a draw: it decides the split as well.

    Args:
        data: dataset with a split.
        models: ``name``, ``name@preset`` or ``name:key=value;key=value``; all of one task.
        out: folder of the result.
        seeds: of training, or how many of them, from 0; in cold protocols the draws.
        axes: setting -> values; every model that has the setting is run with every combination.
        missing: chances that an item lacks a modality at test, see :func:`hide_content`; several leave a plot.
        missing_of: only these modalities may be missing.
        baseline: what the others are tested against; the best ID-only or counting model by validation if not given.
        encoders: feature -> encoder.
        store: folder of encoded vectors.
        resamples: of the paired bootstrap.
        overwrite: replace the result of a comparison on other data or another split.
        metrics: further metrics of lists, tested like the headline, see :func:`palate.evaluation.evaluate.evaluate`. A
            function is known by its name: one that changed needs another name.

    Returns:
        The content of ``out/result.json``: rows by model, paired differences with Holm-adjusted p, provenance.
        Finished cells are kept in ``out/cells`` and not run again by the same code.

    Raises:
        ConfigError: for an unknown model, setting or baseline, or models of different tasks.
        ArtefactError: for a folder that holds something else, or while another process writes it.
    """
    seeds = _seeds(seeds)
    models = [models] if isinstance(models, str) else list(models)
    wrong = [rate for rate in missing if not 0 <= rate <= 1]
    if wrong:
        raise ConfigError("a chance is between 0 and 1", key="missing", hint=f"got {wrong[0]:g}")
    variants = _variants(models, axes or {})
    task = _common_task(variants)
    if baseline is not None and baseline not in variants:
        raise ConfigError("the baseline is not among the models", key=baseline, hint=f"models: {', '.join(variants)}")
    with claimed(out, "comparison", data.items.root) as folder:
        if not overwrite:
            _check_same(folder, data)
        return _compare(
            data, variants, folder, seeds, missing, missing_of, baseline, task, encoders, store, resamples, metrics
        )


def _check_same(folder: Path, data: Dataset) -> None:
    """Refuse to replace the result of a comparison on other data or another split.

    Raises:
        ArtefactError: naming what differs.
    """
    if not (folder / "result.json").is_file():
        return
    there = read_json(folder / "result.json")
    for name, value, told in (("hash", data.hash, "other data"), ("split", str(data.spec), "another split")):
        if there.get(name) != value:
            raise ArtefactError(
                f"holds a comparison on {told}",
                file=folder,
                hint="nothing was changed; choose another folder, or --overwrite (overwrite=True)",
            )


def _compare(
    data: Dataset,
    variants: Sequence[str],
    out: Path,
    seeds: Sequence[int],
    missing: Sequence[float],
    missing_of: Sequence[str] | None,
    baseline: str | None,
    task: Task[Any],
    encoders: Mapping[str, str] | None,
    store: str | Path | None,
    resamples: int,
    metrics: Metrics,
) -> dict[str, Any]:
    cells_dir = out / "cells"
    shared = FeatureStore(store)
    jobs = list(itertools.product(variants, seeds))
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    drawn = data.spec.kind in ("item_cold", "user_cold")
    for variant, seed in track(jobs, "fit", names=_named):
        used = seeds[0] if not drawn and parse_model(variant).deterministic else seed
        cells[variant, seed] = _select(_drawn(data, seed), variant, used, cells_dir, shared, encoders)
    write_json(out / "selection.json", list(cells.values()))
    gaps = [MissingModalities(rate, tuple(missing_of) if missing_of else None) for rate in missing]
    splits = {seed: _drawn(data, seed) for seed in (seeds if drawn else seeds[:1])}
    sealed = [key for key, cell in cells.items() if any(not _answers(cells_dir, cell, gap).is_file() for gap in gaps)]
    met: list[str] = read_json(out / "openings.json") if (out / "openings.json").is_file() else []
    selection = digest(*sorted(cell["key"] for cell in cells.values()), repr(sorted(gap.name for gap in gaps)))
    arrays: dict[tuple[str, int, float], dict[str, np.ndarray]] = {}
    # an opening that was counted, and killed before its last answer, is not another one
    with one_opening(command_line(), splits.values() if selection in met else ()):
        for seed, split in splits.items():
            if any(not drawn or seed == of for _, of in sealed):
                open_test(split)
        if sealed and selection not in met:
            write_json(out / "openings.json", [*met, selection])
        jobs_by_gap = list(itertools.product(jobs, gaps))
        for (variant, seed), gap in track(jobs_by_gap, "test", names=lambda one: _named(one[0])):
            arrays[variant, seed, gap.rate] = _open(
                _drawn(data, seed), cells[variant, seed], cells_dir, gap, shared, metrics
            )
    rows = [_row(v, rate, seeds, cells, arrays) for v in variants for rate in missing]
    base = baseline or _best_id_only(variants, seeds, cells, task)
    several = len(variants) > 1
    tests = [
        _tests(variants, seeds, rate, arrays, base, data, task, resamples, metrics) if several else {}
        for rate in missing
    ]
    result = {
        "table": rows,
        "baseline": base,
        "task": task.name,
        "unit": task.unit,
        "headline": task.headline(data),
        "shown": [*task.shown(data), *metric_names(metrics)],
        "tests": tests[0],
        "tests by rate": {f"{rate:g}": tested for rate, tested in zip(missing, tests)},
        "missing of": sorted(missing_of) if missing_of else "all modalities",
        "data": data.name,
        "hash": data.hash,
        "split": str(data.spec),
        "positive": str(data.positive),
        "mask": data.spec.mask,
        "seeds": list(seeds),
        "selected": {f"{v} seed {s}": c["selected"] for (v, s), c in cells.items()},
        "openings_of_test": max(openings_of(split) for split in splits.values()),
        "command": command_line(),
        "code": code_version(),
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }
    write_json(out / "result.json", result)
    write_text(out / "result.md", markdown(result))
    if len(missing) > 1:
        write_text(out / "missing.md", sweep_markdown(result))
        draw_sweep({str(result["missing of"]): result}, out / "missing.svg")
    return result


def _named(job: tuple[str, int]) -> str:
    return f"{job[0]} seed {job[1]}"


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    """The seeds themselves; a number counts them from 0."""
    if isinstance(seeds, int) and seeds < 1:
        raise ConfigError("at least one seed", key="seeds")
    chosen = list(range(seeds)) if isinstance(seeds, int) else [int(seed) for seed in seeds]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ConfigError("seeds are different whole numbers, or how many of them", key="seeds", hint="3 or [0, 1, 2]")
    return chosen


def _common_task(variants: Sequence[str]) -> Task[Any]:
    """The task of all models; a comparison across tasks has no common question."""
    tasks = {parse_model(variant).task.name: variant for variant in variants}
    if len(tasks) > 1:
        named = "; ".join(f"{variant} is for {name}" for name, variant in tasks.items())
        raise ConfigError("the models answer different questions", key="models", hint=named)
    return parse_model(variants[0]).task


def _variants(models: Sequence[str], axes: Mapping[str, Sequence[str]]) -> list[str]:
    known = {model: type(parse_model(model).config).model_fields for model in models if axes}
    for key in axes:
        if not any(key in fields for fields in known.values()):
            hint = did_you_mean(key, {name for fields in known.values() for name in fields})
            raise ConfigError("none of the models has this setting", key=key, hint=hint)
    found = []
    for model in models:
        grids = [[f"{key}={value}" for value in values] for key, values in axes.items() if key in known[model]]
        sign = ";" if ":" in model else ":"
        found += [f"{model}{sign}{';'.join(choice)}" for choice in itertools.product(*grids)] if grids else [model]
    return found


def _drawn(data: Dataset, seed: int) -> Dataset:
    if data.spec.kind not in ("item_cold", "user_cold"):
        return data
    return data.with_split(data.spec.model_copy(update={"seed": seed}))


def _select(
    data: Dataset,
    variant: str,
    seed: int,
    folder: Path,
    store: FeatureStore,
    encoders: Mapping[str, str] | None,
) -> dict[str, Any]:
    model = parse_model(variant)
    settings = model.config.model_dump_json()
    code, chosen = code_version(), repr(sorted((encoders or {}).items()))
    key = digest(variant, settings, str(seed), data.hash, str(data.spec), str(data.positive), chosen, code)
    done = folder / key / "cell.json"
    if done.is_file():
        cell: dict[str, Any] = read_json(done)
        return cell | {"stored_mib": _stored(done.with_name("run"))}
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
    return cell | {"stored_mib": _stored(done.with_name("run"))}


def _stored(run: Path) -> float:
    """MiB of a run: everything that serving needs, encoders included."""
    return sum(file.stat().st_size for file in run.rglob("*") if file.is_file()) / 2**20


def _answers(folder: Path, cell: Mapping[str, Any], gaps: MissingModalities) -> Path:
    return folder / str(cell["key"]) / f"{gaps.name}.npz"


def _open(
    data: Dataset, cell: dict[str, Any], folder: Path, gaps: MissingModalities, store: FeatureStore, metrics: Metrics
) -> dict[str, np.ndarray]:
    file = _answers(folder, cell, gaps)
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


def _row(
    variant: str,
    rate: float,
    seeds: Sequence[int],
    cells: Mapping[tuple[str, int], dict[str, Any]],
    arrays: Mapping[tuple[str, int, float], dict[str, np.ndarray]],
) -> dict[str, Any]:
    row: dict[str, Any] = {"model": variant} | ({"missing": rate} if rate else {})
    measured = arrays[variant, seeds[0], rate]
    for name in (name for name in measured if name != "seconds" and "|" not in name):
        means = [float(np.nanmean(arrays[variant, seed, rate][name])) for seed in seeds]
        row[name] = float(np.mean(means))
        row[f"{name} sd"] = float(np.std(means, ddof=1)) if len(means) > 1 else 0.0
        row[f"{name} by seed"] = means
    known = measured.get(f"about|{KNOWN}")
    if known is not None and is_random(float(known[0])):
        row["note"] = RANDOM
    own = [cells[variant, seed] for seed in seeds]
    row["valid"] = float(np.mean([cell["valid"] for cell in own])) if own[0]["valid"] is not None else None
    row["fit seconds"] = float(np.mean([cell["seconds"] for cell in own]))
    row["test seconds"] = float(np.mean([arrays[variant, seed, rate]["seconds"][0] for seed in seeds]))
    row["peak MiB"] = max(cell["peak_mib"] for cell in own)
    row["parameters"] = own[0]["parameters"]
    row["trained"] = own[0].get("trained", own[0]["parameters"])
    row["content MiB"] = own[0].get("content_mib")
    row["stored MiB"] = float(np.mean([cell["stored_mib"] for cell in own]))
    row["epochs"] = float(np.mean([cell["epochs"] for cell in own]))
    return row


def _best_id_only(
    variants: Sequence[str], seeds: Sequence[int], cells: Mapping[tuple[str, int], dict[str, Any]], task: Task[Any]
) -> str:
    plain = [v for v in variants if not cells[v, seeds[0]]["content"]] or list(variants)

    def quality(variant: str) -> float:
        own = [cells[variant, seed] for seed in seeds]
        values = [task.rank_key(cell["metric"], cell["valid"]) for cell in own if cell["valid"] is not None]
        return float(np.mean(values)) if values else -np.inf

    return max(plain, key=quality)


def _tests(
    variants: Sequence[str],
    seeds: Sequence[int],
    rate: float,
    arrays: Mapping[tuple[str, int, float], dict[str, np.ndarray]],
    base: str,
    data: Dataset,
    task: Task[Any],
    resamples: int,
    metrics: Metrics,
) -> dict[str, Any]:
    drawn = data.spec.kind in ("item_cold", "user_cold")
    tested: dict[str, Any] = {}
    for metric in (*task.tested(data), *metric_names(metrics)):
        values = {v: [arrays[v, seed, rate][metric] for seed in seeds] for v in variants}
        # a unit that a metric cannot judge (an impression without a click has no AUC) is left out for all models alike
        values = {v: [each[~np.isnan(one)] for each, one in zip(own, values[base])] for v, own in values.items()}
        shaped = values if drawn else {v: np.stack(each) for v, each in values.items()}
        others = {v: each for v, each in shaped.items() if v != base}
        paired = compare_all(shaped[base], others, resamples)
        tested[metric] = {v: vars(result) for v, result in paired.items()}
    return tested
