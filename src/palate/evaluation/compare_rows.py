"""The table of a comparison: a row a model, and paired tests against the baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palate.contracts import Task
from palate.data.dataset import Dataset
from palate.evaluation.known import KNOWN, RANDOM, is_random
from palate.evaluation.own_metrics import Metrics, metric_names
from palate.metrics.bootstrap import compare_all

Cells = Mapping[tuple[str, int], dict[str, Any]]
"""(variant, seed) -> what is known of the fitted model."""
Answers = Mapping[tuple[str, int, float], dict[str, np.ndarray]]
"""(variant, seed, rate of missing modalities) -> metric -> values by unit."""


def row_of(
    variant: str,
    rate: float,
    seeds: Sequence[int],
    cells: Cells,
    arrays: Answers,
) -> dict[str, Any]:
    """Means over seeds, their spread, and what the model cost.

    Args:
        variant: of the model.
        rate: of missing modalities.
        seeds: of its cells.
        cells: of all models.
        arrays: answers of all models.
    """
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


def best_id_only(variants: Sequence[str], seeds: Sequence[int], cells: Cells, task: Task[Any]) -> str:
    """The best model by validation that reads no content; of all models if every one does.

    Args:
        variants: of the models.
        seeds: of their cells.
        cells: of all models.
        task: of all models.
    """
    plain = [v for v in variants if not cells[v, seeds[0]]["content"]] or list(variants)

    def quality(variant: str) -> float:
        own = [cells[variant, seed] for seed in seeds]
        values = [task.rank_key(cell["metric"], cell["valid"]) for cell in own if cell["valid"] is not None]
        return float(np.mean(values)) if values else -np.inf

    return max(plain, key=quality)


def paired_tests(
    variants: Sequence[str],
    seeds: Sequence[int],
    rate: float,
    arrays: Answers,
    base: str,
    data: Dataset,
    task: Task[Any],
    resamples: int,
    metrics: Metrics,
) -> dict[str, Any]:
    """Every model against the baseline, by metric.

    Args:
        variants: of the models.
        seeds: of their cells.
        rate: of missing modalities.
        arrays: answers of all models.
        base: variant of the baseline.
        data: dataset with a split.
        task: of all models.
        resamples: of the bootstrap.
        metrics: further metrics.
    """
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
