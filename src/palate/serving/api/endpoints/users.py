"""Events of users, and erasure of a user."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

from fastapi import APIRouter, Header, Request
from starlette.responses import Response

from palate.core.errors import DataError
from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import BODY_ERRORS, UserId, UserQuery, service_of
from palate.serving.api.ids import clean_id, item_id, user_id
from palate.serving.api.problems import documented
from palate.serving.api.responses import JsonResponse
from palate.serving.batches import each, raise_faults
from palate.serving.events import DuplicateKeyError, Event
from palate.serving.service import RecommenderService

router = APIRouter(tags=["users"])

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=200,
        description="unique for the request: one that is sent again with its key stores no event twice",
    ),
]


@router.post(
    "/v1/events", response_model=schemas.StoredEvents, status_code=201, responses=BODY_ERRORS | documented(409)
)
def log_events(body: bodies.EventsBody, request: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Store events, all or none; they are on disk when this is answered, and count in the next list.

    Every row that is wrong is named, up to 20.
    """
    service = service_of(request)
    rows = list(enumerate(body.events))
    events, faults = each(rows, lambda row: _event(service, row[1], row[0], idempotency_key))
    if faults:
        raise_faults({**service.event_faults(events), **faults}, len(events))
    has_own_keys = any(event.event_id is not None for event in body.events)
    with _told_by_key_of_request(None if has_own_keys else idempotency_key):
        places, duplicates = service.log_events([event for event in events if event is not None])
    return JsonResponse({"stored": len(places) - duplicates, "duplicates": duplicates}, 201)


@router.delete("/v1/users/{user:id}", response_model=schemas.ErasedUser, responses=documented(422))
def erase_user(user: UserId, request: Request) -> Response:
    """Erase a user's events, history and vectors, here and in the run."""
    return _erase(request, user)


@router.delete("/v1/users", response_model=schemas.ErasedUser, responses=documented(422))
def erase_user_by_query(user: UserQuery, request: Request) -> Response:
    """Erase a user whose id a path cannot hold, such as ``..``."""
    return _erase(request, user)


@router.post("/v1/users/erase", response_model=schemas.ErasedUser, responses=BODY_ERRORS)
def erase_user_by_body(body: bodies.EraseBody, request: Request) -> Response:
    """Erase a user whose id shall not be part of an address, which proxies log."""
    return _erase(request, body.user)


def _erase(request: Request, user: str) -> Response:
    """Erase the id as it was sent, and in the spelling in which events of it are stored."""
    service = service_of(request)
    spellings = {user: None}
    with suppress(DataError):
        spellings[clean_id("user", user)] = None
    erased = [service.erase_user(spelling) for spelling in spellings]
    return JsonResponse(
        {
            "events": sum(one.events for one in erased),
            "known": any(one.known for one in erased),
            "run_files_erased": all(one.run_files_erased for one in erased),
        }
    )


@contextmanager
def _told_by_key_of_request(key: str | None) -> Iterator[None]:
    """Name the key that was sent instead of those made of it for each event."""
    try:
        yield
    except DuplicateKeyError as error:
        if key is None:
            raise
        raise DuplicateKeyError(
            "this Idempotency-Key was sent before, with other events",
            key=key,
            hint="give each request a key of its own",
        ) from error


def _event(service: RecommenderService, body: bodies.EventBody, at: int, request_key: str | None) -> Event:
    key = None if body.event_id is None else clean_id("event_id", body.event_id)
    if key is None and request_key is not None:
        key = "request-" + hashlib.blake2b(f"{at}\n{request_key}".encode(), digest_size=16).hexdigest()
    optional = {"key": key, "time": body.timestamp}
    given = {name: value for name, value in optional.items() if value is not None}
    return Event(user_id(service, body.user), item_id(service, body.item), body.type, **given)  # type: ignore[arg-type]
