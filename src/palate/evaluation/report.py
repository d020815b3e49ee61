"""report.html: one self-contained page with the headline, slices, learning curves, and people with their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.files import write_text
from palate.data.dataset import Dataset
from palate.data.views import EvaluationQueries
from palate.evaluation.charts import bars, curves
from palate.evaluation.fit_result import FitResult
from palate.evaluation.thumbnails import Thumbnails
from palate.metrics.lists import hits_of
from palate.training.deployment import deployment_of
from palate.training.saving import versions

PEOPLE, STRIP = 6, 8


def write_report(folder: Path, data: Dataset, fits: Mapping[str, FitResult]) -> Path:
    """Write ``folder/report.html``. The first of ``fits`` is the model reported; the others are what it must beat.

    Everything from the data is escaped; pictures are re-encoded small and embedded; nothing is loaded from outside.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    env = Environment(
        loader=PackageLoader("palate.evaluation", "templates"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    html = env.get_template("report.html").render(**template_context(data, fits))
    path = folder / "report.html"
    write_text(path, html)
    return path


def template_context(data: Dataset, fits: Mapping[str, FitResult]) -> dict[str, Any]:
    """Template context."""
    name, main = next(iter(fits.items()))
    tested = {n: done.judgement for n, done in fits.items() if done.judgement is not None}
    task, deployment = main.model.task, deployment_of(main.model)
    metric, log = task.headline(data), deployment.log
    headline = [(n, result.metrics[metric]) for n, result in tested.items()]
    return {
        "title": data.name,
        "model": name,
        "paper": main.model.paper,
        "metric": metric,
        "headline": headline,
        "gains": _gains(headline),
        "headline_chart": bars(headline) if headline else "",
        "columns": [m for m in task.shown(data) if tested and m in next(iter(tested.values())).metrics],
        "table": [{"model": n, "seconds": fits[n].seconds, **result.metrics} for n, result in tested.items()],
        "slices": _slices(tested),
        "beyond": {n: result.beyond for n, result in tested.items()},
        "curves": curves(log.history) if log and any("valid" in record for record in log.history) else "",
        "selected": _flat(log.selected) if log else {},
        "valid": log.valid if log else None,
        "valid_metric": log.metric if log else "",
        "seconds": log.seconds if log else {},
        "people": people(data, main) if main.judgement is not None else [],
        "notes": [*data.notes, *(f"{n}: row {fault.row + 1} {fault.reason}" for n, fault in _faults(main))][:30],
        "features": [
            (
                n,
                deployment.content.plan[n].encoder if n in deployment.content.plan else "stand-in",
                f.dim,
                _share(f),
            )
            for n, f in deployment.features.items()
        ],
        "counts": [("users", data.n_users), ("items", data.n_items), ("positives", len(data.positives))],
        "about": {key: value for key, value in deployment.about.items() if key != "rule"}
        | {"mask": data.spec.mask, "opened test": int(main.judgement is not None)},
        "versions": versions(),
    }


def people(data: Dataset, fit: FitResult) -> list[dict[str, Any]]:
    """Some users with what they liked, got and chose: first those for whom the strip shown holds a hit, then others."""
    result = fit.judgement
    if result is None or not isinstance(result.questions, EvaluationQueries) or not len(result.questions):
        return []
    queries, lists = result.questions, result.answers
    hits = hits_of(lists[:, :STRIP], queries.relevant).sum(axis=1)
    enough = (queries.users.history.lengths >= 2) & (queries.relevant.lengths >= 1)
    rng = np.random.default_rng(0)
    order = rng.permutation(np.flatnonzero(enough))
    good = [int(row) for row in order if hits[row] > 0][: PEOPLE - 2]
    chosen = [*good, *(int(row) for row in order if row not in good)][:PEOPLE]
    thumbnails = Thumbnails(data.items)
    users = np.flatnonzero(np.ones(data.n_users, bool))
    found = []
    for row in chosen:
        liked = queries.users.history[row][-STRIP:]
        got = [int(item) for item in lists[row][:STRIP] if item >= 0]
        took = queries.relevant[row]
        table_row = int(queries.users.rows[row])
        found.append(
            {
                "id": data.users.ids.external(users[[table_row]])[0] if table_row >= 0 else "new visitor",
                "liked": [thumbnails.of(int(item)) for item in liked],
                "got": [thumbnails.of(item) | {"hit": item in set(took.tolist())} for item in got],
                "chose": [thumbnails.of(int(item)) for item in took[:STRIP]],
            }
        )
    return found


def _gains(headline: list[tuple[str, float]]) -> list[tuple[str, float]]:
    if not headline:
        return []
    own = headline[0][1]
    return [(name, own / value - 1) for name, value in headline[1:] if value > 0]


def _slices(tested: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for result in tested.values() for name in result.slices))
    rows = []
    for name in names:
        values = [(n, result.slices.get(name, {}).get("recall@20", float("nan"))) for n, result in tested.items()]
        users = next(iter(tested.values())).slices.get(name, {}).get("users", 0)
        rows.append({"name": name, "users": int(users), "chart": bars(values, compact=True)})
    return rows


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix if key == "settings" else f"{prefix}{key}.")
        else:
            flat[prefix + key] = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    return flat


def _faults(fit: FitResult) -> list[tuple[str, Any]]:
    return list(deployment_of(fit.model).content.failures)


def _share(features: Any) -> float:
    return float(features.present.mean()) if len(features) else 0.0
