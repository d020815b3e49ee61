"""Lists of items: recommendations, similar items, search; and explanations of their scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import BODY_ERRORS, ITEM_ERRORS, image_bytes, service_of, unknown_item_is_404
from palate.serving.api.ids import item_id, user_id
from palate.serving.api.responses import JsonObject, JsonResponse, explanation_json, response_json
from palate.serving.filters import FilterValue
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService

router = APIRouter(tags=["lists"])


@router.post("/v1/recommend", response_model=schemas.RecommendationList, responses=BODY_ERRORS)
async def recommend(body: bodies.RecommendBody, request: Request) -> Response:
    """The best items for a user, a history, a text, an image, or for an unknown user."""
    if body.image is not None:
        return await _respond(lambda: _recommend(request, _recommend_request(request, body)), False)
    query = _recommend_request(request, body)
    return await _respond(lambda: _recommend(request, query), service_of(request).is_fast(query))


@router.post("/v1/recommend/batch", response_model=schemas.RecommendationLists, responses=BODY_ERRORS)
def recommend_batch(body: bodies.RecommendBatchBody, request: Request) -> Response:
    """Several lists at once; if one fails, all fail."""
    return JsonResponse({"responses": [_recommend(request, _recommend_request(request, one)) for one in body.requests]})


@router.post("/v1/similar", response_model=schemas.RecommendationList, responses=ITEM_ERRORS)
async def similar(body: bodies.SimilarBody, request: Request) -> Response:
    """Items alike by behaviour and by content; what is popular with everybody is not preferred."""
    fast = service_of(request).is_fast(RecommendRequest(similar_to=body.item, model=body.model))
    with unknown_item_is_404():
        return await _respond(lambda: _similar(request, body), fast)


@router.post("/v1/similar/batch", response_model=schemas.RecommendationLists, responses=ITEM_ERRORS)
def similar_batch(body: bodies.SimilarBatchBody, request: Request) -> Response:
    """Several lists at once; if one fails, all fail."""
    with unknown_item_is_404():
        return JsonResponse({"responses": [_similar(request, one) for one in body.requests]})


@router.post("/v1/search", response_model=schemas.RecommendationList, responses=ITEM_ERRORS)
def search(body: bodies.SearchBody, request: Request) -> Response:
    """Items that match a text, an image or an item; a text with an image or an item says how it should differ.

    The latter needs encoders that share a space; a run without them answers 422 and names what is needed.
    """
    with unknown_item_is_404():
        service = service_of(request)
        query = RecommendRequest(
            body.k,
            user=None if body.user is None else user_id(service, body.user),
            text=body.text,
            image=image_bytes(body.image),
            similar_to=None if body.similar_to is None else item_id(service, body.similar_to),
            filters=_filters(body),
            model=body.model,
        )
        return JsonResponse(_recommend(request, query))


@router.post("/v1/explain", response_model=schemas.ItemExplanation, responses=ITEM_ERRORS)
def explain(body: bodies.ExplainBody, request: Request) -> Response:
    """Contributions to the score of an item: history, modalities, other users' behaviour, shared attributes."""
    with unknown_item_is_404():
        service = service_of(request)
        user = None if body.user is None else user_id(service, body.user)
        explanation = service.explain(item_id(service, body.item), user, _history(service, body.history), body.model)
    return JsonResponse(explanation_json(explanation))


def _recommend(request: Request, query: RecommendRequest) -> JsonObject:
    return response_json(service_of(request).recommend(query))


def _similar(request: Request, body: bodies.SimilarBody) -> JsonObject:
    service = service_of(request)
    item, user = item_id(service, body.item), None if body.user is None else user_id(service, body.user)
    return response_json(service.similar_items(item, body.k, _filters(body), body.model, user))


def _history(service: RecommenderService, items: Sequence[str] | None) -> list[str] | None:
    return None if items is None else [item_id(service, item) for item in items]


def _recommend_request(request: Request, body: bodies.RecommendBody) -> RecommendRequest:
    service = service_of(request)
    return RecommendRequest(
        body.k,
        user=None if body.user is None else user_id(service, body.user),
        history=_history(service, body.history),
        text=body.text,
        image=image_bytes(body.image),
        filters=_filters(body),
        exclude=[item_id(service, item) for item in body.exclude],
        include_seen=body.include_seen,
        diversity=body.diversity,
        novelty=body.novelty,
        freshness=body.freshness,
        include_reasons=body.include_reasons,
        model=body.model,
    )


def _filters(body: bodies.ListBody) -> dict[str, FilterValue]:
    return {
        column: value.model_dump(exclude_none=True, by_alias=True) if isinstance(value, bodies.Condition) else value
        for column, value in body.filters.items()
    }


async def _respond(make: Callable[[], JsonObject], fast: bool) -> Response:
    """A response made on the event loop where that takes milliseconds, else in a thread."""
    return JsonResponse(make() if fast else await run_in_threadpool(make))
