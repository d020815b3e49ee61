"""Dashboard: what is served, and its metrics on the test part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from palate.serving.page.render import render_page, service_of
from palate.serving.page.run_metrics import RunMetrics, as_object, read_object
from palate.serving.service import RecommenderService

SANDBOX = "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; frame-ancestors 'none'"


@dataclass(frozen=True)
class Tile:
    """A fact about the service or the run.

    Attributes:
        label: label.
        value: text.
    """

    label: str
    value: str


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/dashboard")(dashboard)
    router.get("/report")(report)


def dashboard(request: Request) -> Response:
    """The dashboard; files that the run lacks are named.

    Args:
        request: the request.
    """
    service = service_of(request)
    run = service.snapshot.run
    manifest = read_object(run / "manifest.json")
    return render_page(
        request,
        "dashboard.html",
        metrics=RunMetrics.of(read_object(run / "metrics.json"), manifest, service.snapshot.model.name),
        served=_served(service),
        provenance=_provenance(manifest),
        versions=as_object(manifest.get("versions")),
        has_report=(run / "report.html").is_file(),
    )


def report(request: Request) -> Response:
    """The run's report, in a sandbox: it runs no script and loads nothing.

    Args:
        request: the request.

    Raises:
        HTTPException: 404 for a run without a report.
    """
    file = service_of(request).snapshot.run / "report.html"
    if not file.is_file():
        raise HTTPException(404, "This run has no report. palate fit writes one by default.")
    return FileResponse(file, media_type="text/html; charset=utf-8", headers={"Content-Security-Policy": SANDBOX})


def _served(service: RecommenderService) -> list[Tile]:
    snapshot = service.snapshot
    items, added = int(snapshot.active.sum()), int((snapshot.added_at > 0).sum())
    return [
        Tile("Model", snapshot.model.name),
        Tile("Run", snapshot.folder.name),
        Tile("Fingerprint", snapshot.fingerprint[:12]),
        Tile("Items", f"{items:,}, {added:,} added here" if added else f"{items:,}"),
        Tile("Users of the run", f"{len(snapshot.users):,}"),
        Tile("Events here", f"{service.events.count():,}"),
        Tile("Available models", ", ".join(service.model_names)),
    ]


def _provenance(manifest: Mapping[str, object]) -> list[Tile]:
    about, log = as_object(manifest.get("about")), as_object(manifest.get("log"))
    facts = [
        ("Data", about.get("data")),
        ("Split", about.get("split")),
        ("Positive interactions", about.get("positive")),
        ("Seed", about.get("seed")),
        ("Command", manifest.get("command")),
        ("Test part opened", _times(manifest.get("openings_of_test"))),
        ("Validation", _validation(log)),
        ("Data hash", about.get("hash")),
    ]
    return [Tile(label, str(value)) for label, value in facts if value not in (None, "")]


def _times(count: object) -> str | None:
    if not isinstance(count, int):
        return None
    return "once" if count == 1 else f"{count} times"


def _validation(log: Mapping[str, object]) -> str | None:
    value = log.get("valid")
    return f"{log.get('metric', '')} {value:.4f}".strip() if isinstance(value, int | float) else None
