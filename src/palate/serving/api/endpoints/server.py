"""Health, readiness and metrics of the server."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import service_of
from palate.serving.api.metrics import Metrics
from palate.serving.api.responses import JsonResponse

router = APIRouter(tags=["server"])


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Whether the process answers."""
    return JsonResponse({"status": "ok"})


@router.get("/readyz", response_model=schemas.Readiness, responses={503: {"model": schemas.Problem}})
async def readyz(request: Request) -> Response:
    """The run that answers; 200 once lists can be made."""
    snapshot = service_of(request).snapshot
    return JsonResponse({"run": snapshot.fingerprint, "items": int(snapshot.active.sum())})


@router.get("/metrics", response_class=Response)
def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    service = service_of(request)
    collected: Metrics = request.app.state.metrics
    text = collected.exposition(lambda: {"items": int(service.snapshot.active.sum()), "events": service.events.count()})
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
