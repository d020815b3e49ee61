"""Metrics of a run, read from its ``metrics.json``, which also names the headline and the metrics to show.

Any part of the file may be missing: it may come from an earlier version, or be damaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from palate.contracts import tasks
from palate.core.errors import ArtefactError, ConfigError
from palate.core.files import read_json

MAX_CHARTS = 4


@dataclass(frozen=True)
class Bar:
    """The value of one model.

    Attributes:
        model: name of the model.
        value: value of the metric, NaN where missing.
        length: length of its bar, 0 to 100.
    """

    model: str
    value: float
    length: float


@dataclass(frozen=True)
class Chart:
    """A metric of every model, the served one first.

    Attributes:
        title: name of the metric or of the slice.
        bars: one a model.
        lower_is_better: whether lower values of the metric are better.
        size: number of units in a slice, such as ``312 users``.
    """

    title: str
    bars: list[Bar]
    lower_is_better: bool = False
    size: str = ""


@dataclass(frozen=True)
class RunMetrics:
    """Metrics of the models that were tested with a run.

    Attributes:
        models: their names, the served one first.
        headline: metric that heads everything.
        charts: charts of the headline and of the other shown metrics.
        rows: (metric, value of each model) of all metrics, the shown ones first, then measures beyond accuracy.
        slice_metric: metric of the slices.
        slices: charts of the slices.
    """

    models: list[str]
    headline: str
    charts: list[Chart]
    rows: list[tuple[str, list[float]]]
    slice_metric: str
    slices: list[Chart]

    @classmethod
    def of(cls, metrics: Mapping[str, object], manifest: Mapping[str, object], served: str) -> RunMetrics:
        """Metrics of a run.

        Args:
            metrics: content of ``metrics.json``: name of a model -> its results.
            manifest: content of ``manifest.json``.
            served: name of the served model.
        """
        results = {name: as_object(metrics[name]) for name in sorted(metrics, key=lambda name: name != served)}
        results = {name: result for name, result in results.items() if as_object(result.get("metrics"))}
        values = {name: as_object(result["metrics"]) for name, result in results.items()}
        measured = _keys(values.values())
        first = next(iter(results.values()), {})
        headline, shown = _headline(first, manifest, measured), _shown(first, measured)
        lower = _lower_is_better(first)
        order = list(dict.fromkeys([*([headline] if headline else []), *shown, *measured]))
        beyond = {name: as_object(result.get("beyond")) for name, result in results.items()}
        slice_metric, slices = _slices(results, headline, measured, lower)
        return cls(
            list(results),
            headline,
            [_chart(metric, values, metric, lower) for metric in order[:MAX_CHARTS]],
            [(metric, [_number(value, metric) for value in values.values()]) for metric in order]
            + [(metric, [_number(value, metric) for value in beyond.values()]) for metric in _keys(beyond.values())],
            slice_metric,
            slices,
        )


def as_object(value: object) -> Mapping[str, object]:
    """``value`` if it is a JSON object, else an empty one.

    Args:
        value: any JSON value.
    """
    return value if isinstance(value, Mapping) else {}


def read_object(file: Path) -> Mapping[str, object]:
    """The JSON object of a file; empty for a file that is missing or damaged.

    Args:
        file: the file.
    """
    try:
        # a pipe would be waited for
        return as_object(read_json(file)) if file.is_file() else {}
    except (OSError, ArtefactError):
        return {}


def _headline(result: Mapping[str, object], manifest: Mapping[str, object], measured: Sequence[str]) -> str:
    """The headline that the result names; for runs that name none, the metric of validation, else the first."""
    for metric in (result.get("headline"), as_object(manifest.get("log")).get("metric")):
        if isinstance(metric, str) and metric in measured:
            return metric
    return measured[0] if measured else ""


def _shown(result: Mapping[str, object], measured: Sequence[str]) -> list[str]:
    shown = result.get("shown")
    return [metric for metric in shown if metric in measured] if isinstance(shown, list) else []


def _lower_is_better(result: Mapping[str, object]) -> frozenset[str]:
    """Metrics of the result's task of which lower values are better, without ``@k``."""
    task = result.get("task")
    try:
        return tasks.get(task).lower_is_better if isinstance(task, str) else frozenset()
    except ConfigError:
        return frozenset()


def _slices(
    results: Mapping[str, Mapping[str, object]], headline: str, measured: Sequence[str], lower: frozenset[str]
) -> tuple[str, list[Chart]]:
    """Metric and charts of the slices: the headline where they have it, else the first metric that they have."""
    slices = {model: as_object(result.get("slices")) for model, result in results.items()}
    values = {
        name: {model: as_object(own.get(name)) for model, own in slices.items()} for name in _keys(slices.values())
    }
    keys = _keys(value for by_model in values.values() for value in by_model.values())
    metric = next((key for key in (headline, *measured) if key in keys), "")
    if not metric:
        return "", []
    # units, such as users, are counted under the same key next to the metrics
    units = [key for key in keys if any(key in result for result in results.values())]
    return metric, [_chart(metric, own, name, lower, _size(own, units)) for name, own in values.items()]


def _size(values: Mapping[str, Mapping[str, object]], units: Sequence[str]) -> str:
    """Number of units in a slice; empty where it is not counted."""
    for key in units:
        for value in values.values():
            count = _number(value, key)
            if math.isfinite(count):
                return f"{int(count):,} {key}"
    return ""


def _chart(
    metric: str, values: Mapping[str, Mapping[str, object]], title: str, lower: frozenset[str], size: str = ""
) -> Chart:
    numbers = {model: _number(value, metric) for model, value in values.items()}
    highest = max((number for number in numbers.values() if math.isfinite(number)), default=0.0) or 1.0
    bars = [
        Bar(model, number, round(100 * max(number / highest, 0.0), 1) if math.isfinite(number) else 0.0)
        for model, number in numbers.items()
    ]
    return Chart(title, bars, metric.partition("@")[0] in lower, size)


def _keys(objects: Iterable[Mapping[str, object]]) -> list[str]:
    return list(dict.fromkeys(key for value in objects for key in value))


def _number(values: Mapping[str, object], key: str) -> float:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else math.nan
