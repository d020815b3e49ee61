"""report.html: one self-contained page with the headline, slices, learning curves, and people with their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from palate.contracts import Judgement
from palate.core.files import write_text
from palate.data.dataset import Dataset
from palate.data.views import EvaluationQueries
from palate.evaluation.charts import bars, curves
from palate.evaluation.fit_result import FitResult
from palate.evaluation.glossary import explained
from palate.evaluation.known import KNOWN, is_random
from palate.evaluation.thumbnails import Thumbnails
from palate.evaluation.verdict import verdicts
from palate.features.default_encoders import pictures_notes
from palate.metrics.lists import hits_of
from palate.training.deployment import deployment_of
from palate.training.log import FitLog
from palate.training.saving import versions

PEOPLE, STRIP = 6, 8
SAME = 5e-5
"""Values that differ by less are shown as the same."""
OF_CATALOGUE = ("coverage", "gini", "novelty", "popularity", "long_tail_share")
"""Measures that compare lists with the whole catalogue or with what was popular in training."""


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
        "verdicts": verdicts(fits, metric),
        "random": {n: is_random(result.about.get(KNOWN)) for n, result in tested.items()},
        "headline_chart": bars(headline) if headline else "",
        "columns": [m for m in task.shown(data) if tested and m in next(iter(tested.values())).metrics],
        "table": [{"model": n, "seconds": fits[n].seconds, **result.metrics} for n, result in tested.items()],
        "slices": _slices(tested),
        "beyond": {n: result.beyond for n, result in tested.items()},
        "beyond_columns": _telling(tested),
        "words": explained([*task.shown(data), *_telling(tested)]),
        "curves": _curves(name, log) if log else [],
        "selected": _selected(log.selected) if log else [],
        "valid": log.valid if log else None,
        "valid_metric": log.metric if log else "",
        "seconds": log.seconds if log else {},
        "people": people(data, main) if main.judgement is not None else [],
        "notes": [
            *pictures_notes((spec.modality, spec.encoder) for spec in deployment.content.main_plan.values()),
            *data.notes,
            *(f"{n}: row {fault.row + 1} {fault.reason}" for n, fault in _faults(main)),
        ][:30],
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
                "took": len(took),
                "chose": [thumbnails.of(int(item)) for item in took[:STRIP]],
            }
        )
    return found


def _telling(tested: Mapping[str, Judgement]) -> list[str]:
    """Measures of whole lists that tell something: known for all models, and not the same for all of them.

    Where only some items are candidates, how much of the catalogue lists cover, and how popular new items are, is set
    by the question and not by the models.
    """
    if not tested:
        return []
    results = list(tested.values())
    limited = getattr(results[0].questions, "candidates", None) is not None
    found = []
    for name in results[0].beyond:
        values = [result.beyond.get(name, float("nan")) for result in results]
        same = len(values) > 1 and float(np.ptp(values)) < SAME
        if np.isfinite(values).all() and not same and not (limited and name.partition("@")[0] in OF_CATALOGUE):
            found.append(name)
    return found


def _curves(name: str, log: FitLog) -> list[tuple[str, str]]:
    """Learning curves of the model, or of the members that were trained by epochs."""
    named = {name: log.history} | {member.partition("-")[2]: history for member, history in log.members.items()}
    return [(n, curves(h)) for n, h in named.items() if any("valid" in record for record in h)]


def _selected(settings: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """What was chosen, by group: weights of a blend's members as rows, then the settings of each member."""
    members = settings.get("members")
    if not isinstance(members, (list, tuple)):
        return [("", [(key, str(value)) for key, value in flat_settings(settings).items()])]
    weights = [(slice_, settings.get(f"{slice_}_weights") or ()) for slice_ in ("warm", "cold")]
    shares = [
        (member, ", ".join(f"{values[place]:.2f} on {slice_} items" for slice_, values in weights if values))
        for place, member in enumerate(members)
    ]
    known = {"members", "settings", "warm_weights", "cold_weights"}
    rest = [(key, str(value)) for key, value in settings.items() if key not in known]
    groups = [("weights of the members", [*shares, *rest])]
    chosen = settings.get("settings", {})
    own = {member: flat_settings(chosen.get(member, {})) for member in members}
    return groups + [(member, [(k, str(v)) for k, v in values.items()]) for member, values in own.items() if values]


def _slices(tested: Mapping[str, Any]) -> list[dict[str, Any]]:
    names = list(dict.fromkeys(name for result in tested.values() for name in result.slices))
    rows = []
    for name in names:
        values = [(n, result.slices.get(name, {}).get("recall@20", float("nan"))) for n, result in tested.items()]
        users = next(iter(tested.values())).slices.get(name, {}).get("users", 0)
        rows.append({"name": name, "users": int(users), "chart": bars(values, compact=True)})
    return rows


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as key -> value; fractions with four significant digits.

    Args:
        settings: setting -> value.
        prefix: of every key.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= flat_settings(value, prefix if key == "settings" else f"{prefix}{key}.")
        else:
            many = value if isinstance(value, (list, tuple)) else [value]
            flat[prefix + key] = ", ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in many)
    return flat


def _faults(fit: FitResult) -> list[tuple[str, Any]]:
    return list(deployment_of(fit.model).content.failures)


def _share(features: Any) -> float:
    return float(features.present.mean()) if len(features) else 0.0
