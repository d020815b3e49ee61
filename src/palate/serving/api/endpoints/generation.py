"""Personalised content: one, several, or several as they are ready."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator

from fastapi import APIRouter, Request
from pydantic import JsonValue
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from palate.core.errors import PalateError
from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import ITEM_ERRORS, service_of, unknown_item_is_404
from palate.serving.api.ids import item_id, user_id
from palate.serving.api.responses import JsonObject, JsonResponse, finite
from palate.serving.content import Content, ContentMaker
from palate.serving.content_request import ContentOptions, content_request
from palate.serving.snapshot import ResolvedModel

router = APIRouter(tags=["content"])


EVENT = {
    "type": "object",
    "properties": {"event": {"enum": ["content", "problem", "done"]}, "data": {"type": "string"}},
    "required": ["event", "data"],
}
STREAM = {"description": "OK; events if ``stream``", "content": {"text/event-stream": {"schema": EVENT}}}


@router.post(
    "/v1/generate",
    response_model=schemas.GeneratedContent | schemas.GeneratedContents,
    responses={**ITEM_ERRORS, 200: STREAM},
)
def generate(body: bodies.GenerateBody, request: Request) -> Response:
    """Content about an item, generated for a user; several at once by ``requests``, as they are ready by ``stream``.

    Nothing is shown before it was judged: each event of a stream is a whole content, then comes ``done``.
    """
    if body.stream:
        return StreamingResponse(
            _events(body, request), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )
    made = [_content(one, request) for one in body.all]
    return JsonResponse(made[0] if body.requests is None else {"responses": list[JsonValue](made)})


def _events(body: bodies.GenerateBody, request: Request) -> Iterator[str]:
    """Events of a stream; a request that fails is an event ``problem``, and the others go on."""
    for index, one in enumerate(body.all):
        try:
            yield _event("content", {"index": index, **_content(one, request)})
        except PalateError as error:
            yield _event("problem", {"index": index, "status": 422, "detail": error.message, "hint": error.hint})
        except HTTPException as error:
            yield _event("problem", {"index": index, "status": error.status_code, "detail": error.detail})
    yield _event("done", {"count": len(body.all)})


def _event(name: str, data: JsonObject) -> str:
    return f"event: {name}\ndata: {json.dumps(finite(data), ensure_ascii=False, allow_nan=False)}\n\n"


def _content(body: bodies.ContentBody, request: Request) -> JsonObject:
    service = service_of(request)
    maker: ContentMaker = request.app.state.content
    # an unknown generator is refused before the user's events are read
    maker.pool.get(body.kind, body.generator)
    with unknown_item_is_404():
        snapshot, model, row = service.find_item(item_id(service, body.item))
    user = None if body.user is None else user_id(service, body.user)
    state = service.user_state(snapshot, user, body.history)
    extras = {"format": body.format, "choices": body.choices}
    options = ContentOptions(
        body.prompt,
        body.language,
        body.max_words,
        options={name: value for name, value in extras.items() if value is not None},
    )
    asked = content_request(ResolvedModel(snapshot, model), body.kind, row, state, user, options)
    return _json(maker.make(asked, body.seed, body.generator))


def _json(content: Content) -> JsonObject:
    made = content.generated
    return {
        "generator": content.generator,
        "text": made.text,
        "image": _base64(made.image),
        "video": _base64(made.video),
        "evidence": [
            {"source": one.source, "id": one.id, "column": one.column, "value": str(one.value)} for one in made.evidence
        ],
        "provenance": dict(made.provenance),
        "scores": dict(made.scores),
    }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
