"""Health, readiness and metrics of the server."""

from __future__ import annotations

from contextlib import suppress

from anyio import to_thread
from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import service_of
from palate.serving.api.metrics import Metrics
from palate.serving.api.problems import problem
from palate.serving.api.responses import JsonResponse
from palate.serving.availability import DatabaseUnavailable
from palate.serving.service import RecommenderService

router = APIRouter(tags=["server"])


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Whether the process answers."""
    return JsonResponse({"status": "ok"})


@router.get("/readyz", response_model=schemas.Readiness, responses={503: {"model": schemas.Problem}})
async def readyz(request: Request) -> Response:
    """The run that answers; 503 while the database does not answer, or the run was replaced by a damaged one."""
    service = service_of(request)
    # not among the threads of requests, which may all be taken
    if problems := await to_thread.run_sync(service.problems, limiter=request.app.state.health_threads):
        return problem(503, "; ".join(problems))
    snapshot = service.snapshot
    return JsonResponse({"run": snapshot.fingerprint, "items": int(snapshot.active.sum())})


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    service = service_of(request)
    collected: Metrics = request.app.state.metrics
    text = collected.exposition(lambda: _sizes(service))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")


def _sizes(service: RecommenderService) -> dict[str, int]:
    sizes = {"items": int(service.snapshot.active.sum())}
    # while the database does not answer, the other metrics are wanted most of all
    with suppress(DatabaseUnavailable):
        sizes["events"] = service.events.count()
    return sizes
