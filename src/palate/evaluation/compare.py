"""Models x seeds on one split: all selection first, then test is opened once; paired tests, time and memory."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from palate.contracts import Task
from palate.contracts.parse import parse_model
from palate.core.boundary import public
from palate.core.errors import ArtefactError, ConfigError, did_you_mean
from palate.core.files import digest, read_json, write_json, write_text
from palate.core.output import claimed
from palate.core.progress import track
from palate.data.dataset import Dataset
from palate.evaluation.code_version import code_version
from palate.evaluation.compare_cells import answers_file, draw, fit_cell, judge_cell
from palate.evaluation.compare_report import markdown
from palate.evaluation.compare_rows import best_id_only, paired_tests, row_of
from palate.evaluation.missing import MissingModalities
from palate.evaluation.openings import one_opening, open_test, openings_of
from palate.evaluation.own_metrics import Metrics, metric_names
from palate.evaluation.runs import command_line
from palate.evaluation.sweep import draw_sweep, sweep_markdown
from palate.features.store import FeatureStore
from palate.training.saving import versions


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
        cells[variant, seed] = fit_cell(draw(data, seed), variant, used, cells_dir, shared, encoders)
    write_json(out / "selection.json", list(cells.values()))
    gaps = [MissingModalities(rate, tuple(missing_of) if missing_of else None) for rate in missing]
    splits = {seed: draw(data, seed) for seed in (seeds if drawn else seeds[:1])}
    opened = {key: all(answers_file(cells_dir, cell, gap).is_file() for gap in gaps) for key, cell in cells.items()}
    sealed = [key for key, done in opened.items() if not done]
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
            arrays[variant, seed, gap.rate] = judge_cell(
                draw(data, seed), cells[variant, seed], cells_dir, gap, shared, metrics
            )
    rows = [row_of(v, rate, seeds, cells, arrays) for v in variants for rate in missing]
    base = baseline or best_id_only(variants, seeds, cells, task)
    several = len(variants) > 1
    tests = [
        paired_tests(variants, seeds, rate, arrays, base, data, task, resamples, metrics) if several else {}
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
