"""Click-through ranking on movies/ctr: each ranker, what it reads, and what a server would know.

    python benchmarks/ctr.py [--seeds 3] [--models din gbdt ...] [--columns streaming static] [--table]

``static``: histories and counters stop with training. ``streaming``: they hold what was before each event, as a server
with live events knows it; weights are not trained again. Each cell is a fit (validation stops it) and one opening of
test; cells are kept under PALATE_WORK, so that a stopped run goes on. Differences are paired by user, with all users of
all seeds in the error: a user's part in the AUC is its influence on it (DeLong et al., Biometrics 1988, summed by
user). "Unseen" are items without a training event. Written: ``results/ctr.*``.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import palate
from _common import WORK, keep, real
from palate.contracts.parse import parse_model
from palate.core.files import read_json, write_json
from palate.core.progress import set_mode, track
from palate.data.dataset import Dataset
from palate.evaluation.evaluate import evaluate
from palate.evaluation.runs import command_line
from palate.features.counters import Asked, Counters
from palate.features.plan import ContentPlan, plan_content
from palate.metrics.bootstrap import compare_paired, holm
from palate.metrics.impressions import grouped_metrics
from palate.training.fit import fit
from palate.training.saving import versions

IDS = "fields=[user,item];content=false"
MODELS = {
    "gbdt": "gbdt", "logistic": "logistic", "fm": "fm", "wide_deep": "wide_deep", "deepfm": "deepfm", "pnn": "pnn",
    "dcnv2": "dcnv2", "fcn": "fcn", "din": "din", "dsin": "dsin",
    "din, ids": f"din:{IDS}", "dcnv2, ids": f"dcnv2:{IDS}", "din, no content": "din:content=false",
    "din, no counters": "din:counters=none",
}  # fmt: skip
"""Name -> model. ``ids``: ids, histories and counters of users and items, no attribute and no content."""
BASES = ("din, ids", "dcnv2, ids", "gbdt")
COLUMNS = ("static", "streaming")
Floats = NDArray[np.float64]


@cache
def data() -> Dataset:
    return palate.load(real("movies") / "ctr")


@cache
def plan() -> ContentPlan:
    return plan_content(data(), None, WORK / "ctr" / "store")


def stored(name: str, column: str, seed: int) -> Path:
    """Where a cell is kept."""
    return WORK / "ctr" / f"{name.replace(',', '').replace(' ', '-')}-{column}-{seed}.json"


def cell(name: str, column: str, seed: int) -> dict[str, Any]:
    """One fit and its scores of all test events, made once."""
    file = stored(name, column, seed)
    if not file.is_file():
        model = parse_model(MODELS[name]).clone({"live": column == "streaming"})
        model = fit(model, data(), seed=seed, content=plan())
        judged = evaluate(model, data())
        log = model.deployment.log  # type: ignore[attr-defined]
        seconds = sum(record["cpu_seconds"] for record in log.history)
        about = {"valid": log.valid, "epochs": len(log.history), "cpu_seconds": seconds}
        write_json(file, {"scores": np.asarray(judged.answers).tolist(), "metrics": judged.metrics, **about})
    return read_json(file)


def influences(labels: NDArray[np.bool_], scores: Floats, users: NDArray[np.int64]) -> Floats:
    """One value a user whose mean is the AUC: AUC + n_users * (the user's share of DeLong's components)."""
    order = np.sort(scores[~labels]), np.sort(scores[labels])

    def below(values: Floats, other: Floats) -> Floats:
        return (np.searchsorted(other, values) + np.searchsorted(other, values, side="right")) / (2 * len(other))

    part = np.where(labels, below(scores, order[0]), 1 - below(scores, order[1]))
    auc = part[labels].mean()
    share = (part - auc) / np.where(labels, labels.sum(), (~labels).sum())
    _, who = np.unique(users, return_inverse=True)
    return np.asarray(auc + (who.max() + 1) * np.bincount(who, weights=share), float)


def values(scores: Floats, unseen: bool) -> dict[str, Floats]:
    """AUC and AUC within users, a value for each user."""
    questions = data().test_events()
    keep_ = np.ones(len(scores), bool)
    if unseen:
        known = np.bincount(data().select_view().events.item, minlength=data().n_items) > 0
        keep_ = ~known[questions.events.item]
    labels, users = questions.events.label[keep_] > 0, questions.groups[keep_]
    inside = grouped_metrics(labels, scores[keep_], users)["group_auc"]
    return {"auc": influences(labels, scores[keep_], users), "gauc": inside[np.isfinite(inside)]}


def floor(column: str) -> Floats:
    """The sum of user mean and item mean, as log-odds of smoothed shares."""
    questions, view = data().test_events(), data().select_view()
    counters = Counters([], windows=False)
    queries = questions if column == "streaming" else questions.knowing(view.events)
    events = queries.events
    table = counters.before(queries.known, Asked(events.user, events.item, events.time), {})
    return np.asarray(table[:, 0] + table[:, 2], float)


def study(models: list[str], columns: list[str], seeds: int) -> dict[str, Any]:
    """Fit what is missing, then judge and compare everything that is there."""
    for name in track(models, "rankers"):
        for column in columns:
            for seed in range(seeds):
                cell(name, column, seed)
    view = data().select_view()
    out: dict[str, Any] = {
        "data": "movies/ctr", "hash": data().hash, "split": str(data().spec), "events": len(view.events),
        "models": MODELS, "columns": {}, "seeds": seeds, "versions": versions(), "command": command_line(),
    }  # fmt: skip
    for column in COLUMNS:
        made = {
            name: [cell(name, column, seed) for seed in range(seeds)]
            for name in MODELS
            if all(stored(name, column, seed).is_file() for seed in range(seeds))
        }
        out["columns"][column] = judged(column, made, seeds)
    return out


def judged(column: str, made: dict[str, list[dict[str, Any]]], seeds: int) -> dict[str, Any]:
    """Rows of a column, and the model best on validation against the bases."""
    rows: dict[str, Any] = {}
    by_user: dict[str, dict[str, Floats]] = {}
    for name, cells in {"user mean + item mean": None, **made}.items():
        scores = [floor(column)] if cells is None else [np.asarray(one["scores"]) for one in cells]
        kinds = {"": False, " unseen": True}
        each = {
            f"{metric}{kind}": np.stack([values(one, unseen)[metric] for one in scores])
            for kind, unseen in kinds.items()
            for metric in ("auc", "gauc")
        }
        by_user[name] = each
        rows[name] = {metric: [float(mean) for mean in table.mean(1)] for metric, table in each.items()}
        if cells is not None:
            rows[name] |= {key: [one[key] for one in cells] for key in ("valid", "epochs", "cpu_seconds")}
    able = [name for name in made if name not in BASES and "ids" not in name and "no " not in name]
    if not able:
        return {"rows": rows}
    best = max(able, key=lambda name: float(np.mean(rows[name]["valid"])))
    tests: dict[str, Any] = {}
    for metric in ("auc", "gauc", "auc unseen", "gauc unseen"):
        results = {
            base: compare_paired(by_user[best][metric], by_user[base][metric]) for base in BASES if base in by_user
        }
        adjusted = holm([result.p_value for result in results.values()])
        tests[metric] = {
            base: {**asdict(result), "p_adjusted": float(p)}
            for (base, result), p in zip(results.items(), adjusted, strict=True)
        }
    return {"rows": rows, "best": best, "tests": tests}


def table(result: dict[str, Any]) -> str:
    """The results for people."""
    lines = [
        "# Click-through ranking on movies/ctr", "",
        f"`{result['command']}`, {result['events']:,} training events, {result['seeds']} seeds. Static: nothing after "
        "training is known. Streaming: histories and counters hold what was before each event; weights stay. Unseen: "
        "items without a training event. GAUC: AUC within users, mean over users.", "",
    ]  # fmt: skip
    for column, found in result["columns"].items():
        lines += [f"## {column.capitalize()}", "", "| ranker | AUC | GAUC | AUC, unseen | GAUC, unseen | CPU s |"]
        lines.append("|---" * 6 + "|")
        for name, row in found["rows"].items():
            cells = []
            for metric in ("auc", "gauc", "auc unseen", "gauc unseen"):
                spread = f" ± {np.std(row[metric], ddof=1):.4f}" if len(row[metric]) > 1 else ""
                cells.append(f"{np.mean(row[metric]):.4f}{spread}")
            seconds = f"{np.mean(row['cpu_seconds']):.0f}" if "cpu_seconds" in row else "-"
            lines.append(f"| {name} | {' | '.join(cells)} | {seconds} |")
        if "best" in found:
            lines += [
                "", f"Best on validation: {found['best']}. Its gains, with 95 % intervals over users and seeds, and "
                "Holm's p:", "", "| against | AUC | GAUC | AUC, unseen | GAUC, unseen |", "|---" * 5 + "|",
            ]  # fmt: skip
            for base in found["tests"]["auc"]:
                cells = [
                    f"{one['difference']:+.4f} [{one['low']:+.4f}, {one['high']:+.4f}], {one['p_adjusted']:.2g}"
                    for one in (found["tests"][metric][base] for metric in found["tests"])
                ]
                lines.append(f"| {base} | {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--table", action="store_true", help="only judge the cells that are there")
    args = parser.parse_args()
    set_mode("plain")
    (WORK / "ctr").mkdir(parents=True, exist_ok=True)
    result = study([] if args.table else args.models, args.columns, args.seeds)
    keep("ctr", result, table(result))


if __name__ == "__main__":
    main()
