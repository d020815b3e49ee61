"""Personalised content."""

from __future__ import annotations

import base64

from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.contracts import GenerationRequest
from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import ITEM_ERRORS, service_of, unknown_item_is_404
from palate.serving.api.generators import GeneratorPool
from palate.serving.api.ids import item_id, user_id
from palate.serving.api.responses import JsonResponse

router = APIRouter(tags=["content"])


@router.post("/v1/generate", response_model=schemas.GeneratedContent, responses=ITEM_ERRORS)
def generate(body: bodies.GenerateBody, request: Request) -> Response:
    """Content about an item, generated for a user; 422 where no suitable generator is registered."""
    service = service_of(request)
    pool: GeneratorPool = request.app.state.generators
    name, generator = pool.get(body.kind, body.generator)
    with unknown_item_is_404():
        snapshot, _, row = service.find_item(item_id(service, body.item))
    known = None if body.user is None else user_id(service, body.user)
    user = service.user_state(snapshot, known, body.history)
    item, *history = (snapshot.items.frame.row(int(at), named=True) for at in (row, *user.history))
    content = generator.generate([GenerationRequest(body.kind, item, history, body.prompt)], seed=body.seed)[0]
    return JsonResponse(
        {
            "generator": name,
            "text": content.text,
            "image": _base64(content.image),
            "video": _base64(content.video),
            "evidence": [
                {"source": one.source, "id": one.id, "column": one.column, "value": str(one.value)}
                for one in content.evidence
            ],
            "provenance": dict(content.provenance),
            "scores": dict(content.scores),
        }
    )


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode()
