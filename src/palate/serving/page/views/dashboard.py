"""What is served, and how well it did when its test part was opened."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from palate.core.errors import ArtefactError
from palate.core.files import read_json
from palate.serving.page.render import page, service_of
from palate.serving.service import RecommenderService

SHOWN = ("recall@20", "ndcg@20", "capped_recall@20", "recall@10", "ndcg@10", "hit_rate@20", "mrr@20")
CHARTS, SLICED = 4, "recall@20"
SANDBOX = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Chart:
    """Bars: (name, value, length from 0 to 100), the served model's first."""

    name: str
    bars: list[tuple[str, float, float]]
    users: int = 0


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/dashboard")(dashboard)
    router.get("/report")(report)


def dashboard(request: Request) -> Response:
    """The page; what the run has no file of is said to be missing."""
    service = service_of(request)
    run = service.snapshot.run
    metrics, manifest = _read(run / "metrics.json"), _read(run / "manifest.json")
    tested = {name: _part(metrics, name) for name in metrics if _part(_part(metrics, name), "metrics")}
    own = service.snapshot.model.name
    tested = {name: tested[name] for name in sorted(tested, key=lambda name: name != own)}
    measured = list(dict.fromkeys(key for found in tested.values() for key in _part(found, "metrics")))
    order = [*(key for key in SHOWN if key in measured), *(key for key in measured if key not in SHOWN)]
    facts: dict[str, Any] = {
        "models": list(tested),
        "charts": [_chart(key, {n: _part(found, "metrics") for n, found in tested.items()}) for key in order[:CHARTS]],
        "measures": [(key, [_number(_part(found, "metrics"), key) for found in tested.values()]) for key in order],
        "beyond": _rows({name: _part(found, "beyond") for name, found in tested.items()}),
        "slices": _slices(tested),
        "sliced": SLICED,
        "served": _served(service),
        "made": _made(manifest),
        "versions": _part(manifest, "versions"),
        "report": (run / "report.html").is_file(),
    }
    return page(request, "dashboard.html", **facts)


def report(request: Request) -> Response:
    """The run's report, in which nothing runs and from which nothing is loaded."""
    file = service_of(request).snapshot.run / "report.html"
    if not file.is_file():
        raise HTTPException(404, "This run has no report; palate fit writes one unless told not to.")
    return FileResponse(file, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": SANDBOX})


def _served(service: RecommenderService) -> list[tuple[str, str]]:
    snapshot = service.snapshot
    came = int((snapshot.added_at > 0).sum())
    return [
        ("Model", snapshot.model.name),
        ("Run", snapshot.folder.name),
        ("Edition", snapshot.fingerprint[:12]),
        ("Items", f"{int(snapshot.active.sum()):,}" + (f", {came:,} added here" if came else "")),
        ("Users of the run", f"{len(snapshot.users):,}"),
        ("Events here", f"{service.events.count():,}"),
        ("Who may answer", ", ".join(service.model_names)),
    ]


def _made(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    about, log = _part(manifest, "about"), _part(manifest, "log")
    pairs = [
        ("Data", about.get("data")),
        ("Split", about.get("split")),
        ("Counts as liked", about.get("positive")),
        ("Seed", about.get("seed")),
        ("Command", manifest.get("command")),
        ("Test part opened", _times(manifest.get("openings_of_test"))),
        ("Validation", _valid(log)),
        ("Data hash", about.get("hash")),
    ]
    return [(name, str(value)) for name, value in pairs if value not in (None, "")]


def _times(count: Any) -> str | None:
    return None if not isinstance(count, int) else "once" if count == 1 else f"{count} times"


def _valid(log: Mapping[str, Any]) -> str | None:
    value = log.get("valid")
    return f"{log.get('metric', '')} {value:.4f}".strip() if isinstance(value, int | float) else None


def _chart(key: str, values: Mapping[str, Mapping[str, Any]], users: int = 0) -> Chart:
    found = [(name, _number(measured, key)) for name, measured in values.items()]
    top = max((value for _, value in found if math.isfinite(value)), default=0.0) or 1.0
    return Chart(key, [(n, v, round(100 * v / top, 1) if math.isfinite(v) else 0.0) for n, v in found], users)


def _slices(tested: Mapping[str, Mapping[str, Any]]) -> list[Chart]:
    sliced = {name: _part(found, "slices") for name, found in tested.items()}
    names = list(dict.fromkeys(key for found in sliced.values() for key in found))
    out = []
    for key in names:
        values = {name: _part(found, key) for name, found in sliced.items()}
        users = next((_number(found, "users") for found in values.values() if "users" in found), 0.0)
        out.append(Chart(key, _chart(SLICED, values).bars, int(users) if math.isfinite(users) else 0))
    return out


def _rows(values: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[float]]]:
    keys = list(dict.fromkeys(key for found in values.values() for key in found))
    return [(key, [_number(found, key) for found in values.values()]) for key in keys]


def _number(values: Mapping[str, Any], key: str) -> float:
    value = values.get(key)
    return float(value) if isinstance(value, int | float) else math.nan


def _part(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key)
    return found if isinstance(found, Mapping) else {}


def _read(file: Path) -> Mapping[str, Any]:
    """A JSON object; empty for one that is missing or damaged, which is no reason to show nothing."""
    try:
        found = read_json(file)
    except (OSError, ArtefactError):
        return {}
    return found if isinstance(found, Mapping) else {}
