"""Health, readiness and metrics of the server: answered whatever its load."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import JsonValue
from starlette.responses import Response

from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import service_of
from palate.serving.api.health import Health
from palate.serving.api.metrics import Metrics
from palate.serving.api.problems import documented, problem
from palate.serving.api.responses import JsonResponse
from palate.serving.api.threads import run_apart

router = APIRouter(tags=["server"])


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Whether the process answers."""
    return JsonResponse({"status": "ok"})


@router.get("/readyz", response_model=schemas.Readiness, responses={503: documented()[503]})
async def readyz(request: Request) -> Response:
    """The run that answers; 503 while requests are shed or the database does not answer."""
    health: Health = request.app.state.health
    fault = await health.fault()
    if fault is not None:
        return problem(request.scope, 503, fault.detail, hint=fault.hint)
    service = service_of(request)
    state = {"run": service.snapshot.fingerprint, "items": int(service.snapshot.active.sum())}
    return JsonResponse({**state, "warnings": list[JsonValue](service.warnings())})


@router.get("/metrics", response_class=Response, responses=documented())
async def metrics(request: Request) -> Response:
    """Metrics for Prometheus."""
    health: Health = request.app.state.health
    collected: Metrics = request.app.state.metrics
    service = service_of(request)
    sizes = {"items": int(service.snapshot.active.sum()), "events": await health.event_count()}
    text = await run_apart("health", lambda: collected.exposition(lambda: sizes, len(service.warnings())))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
