"""Events of users, and erasure of a user."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import BODY_ERRORS, UserId, service_of
from palate.serving.api.problems import documented
from palate.serving.api.responses import JsonResponse
from palate.serving.events import Event

router = APIRouter(tags=["users"])


@router.post(
    "/v1/events", response_model=schemas.StoredEvents, status_code=201, responses=BODY_ERRORS | documented(409)
)
def log_events(body: bodies.EventsBody, request: Request) -> Response:
    """Store events; they are on disk when this is answered, and count in the next list."""
    places, duplicates = service_of(request).log_events(map(_event, body.events))
    return JsonResponse({"stored": len(places) - duplicates, "duplicates": duplicates}, 201)


@router.delete("/v1/users/{user:path}", response_model=schemas.ErasedUser, responses=documented(422))
def erase_user(user: UserId, request: Request) -> Response:
    """Erase a user's events, history and vectors, here and in the run."""
    return JsonResponse(service_of(request).erase_user(user)._asdict())


def _event(body: bodies.EventBody) -> Event:
    optional = {"key": body.event_id, "time": body.timestamp}
    return Event(body.user, body.item, body.type, **{k: v for k, v in optional.items() if v is not None})  # type: ignore[arg-type]
