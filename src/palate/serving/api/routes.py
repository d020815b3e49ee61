"""The routes of the API; thin: they translate between JSON and a shop."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.contracts import GenerationRequest, Generator, generators
from palate.serving.api import schemas as body
from palate.serving.api.metrics import Measures
from palate.serving.api.problems import documented
from palate.serving.api.responses import Json, explained, told
from palate.serving.catalog_updates import editable_columns
from palate.serving.events import Event
from palate.serving.images import THUMBNAIL_SIDES, decode_base64, item_image, sanitize_image, thumbnail
from palate.serving.requests import RecommendRequest, RecommendResponse
from palate.serving.service import RecommenderService, UnknownItem

router = APIRouter()
USED = documented(400, 413, 422)
NAMED = documented(400, 404, 413, 422)
ItemId = Annotated[str, Path(min_length=1, max_length=body.MAX_ID_LENGTH, description="an item")]
UserId = Annotated[str, Path(min_length=1, max_length=body.MAX_ID_LENGTH, description="a user")]


def _service(request: Request) -> RecommenderService:
    found: RecommenderService = request.app.state.service
    return found


def _answer(request: Request, wish: RecommendRequest) -> dict[str, Any]:
    answer: RecommendResponse = _service(request).recommend(wish)
    measures: Measures = request.app.state.measures
    for name, seconds, outcome in answer.timings:
        measures.staged(name, seconds, outcome)
    return told(answer)


def _picture(image: str | None) -> bytes | None:
    return None if image is None else sanitize_image(decode_base64(image))


def _filters(asked: body.Listed) -> dict[str, Any]:
    plain = {}
    for column, wanted in asked.filters.items():
        plain[column] = wanted.model_dump(exclude_none=True) if isinstance(wanted, body.Bounds) else wanted
    return plain


def _wish(asked: body.Recommend) -> RecommendRequest:
    return RecommendRequest(
        asked.k, asked.user, asked.liked, asked.text, _picture(asked.image), None, _filters(asked), asked.exclude,
        asked.seen, asked.diversity, asked.novelty, asked.freshness, asked.because, asked.model,
    )  # fmt: skip


async def _promptly(make: Callable[[], dict[str, Any]], quick: bool) -> Response:
    """An answer made here and now where that is a matter of milliseconds, else in a thread."""
    return Json(make() if quick else await run_in_threadpool(make))


@router.post("/v1/recommend", response_model=body.List, responses=USED, tags=["lists"])
async def recommend(asked: body.Recommend, request: Request) -> Response:
    """The best items for a user, for some likes, for words or a picture, or for nobody in particular."""
    if asked.image is not None:
        return await _promptly(lambda: _answer(request, _wish(asked)), False)
    wish = _wish(asked)
    return await _promptly(lambda: _answer(request, wish), _service(request).is_fast(wish))


@router.post("/v1/recommend/batch", response_model=body.ListBatch, responses=USED, tags=["lists"])
def recommend_batch(asked: body.ManyRecommend, request: Request) -> Response:
    """Several lists at once; one that cannot be made makes none."""
    return Json({"answers": [_answer(request, _wish(one)) for one in asked.requests]})


def _similar(asked: body.Similar, request: Request) -> dict[str, Any]:
    return told(_service(request).similar_items(asked.item, asked.k, _filters(asked), asked.model))


@router.post("/v1/similar", response_model=body.List, responses=NAMED, tags=["lists"])
async def similar(asked: body.Similar, request: Request) -> Response:
    """What somebody who took only this item would get."""
    quick = _service(request).is_fast(RecommendRequest(model=asked.model))
    try:
        return await _promptly(lambda: _similar(asked, request), quick)
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/similar/batch", response_model=body.ListBatch, responses=NAMED, tags=["lists"])
def similar_batch(asked: body.ManySimilar, request: Request) -> Response:
    """Several lists at once; one that cannot be made makes none."""
    try:
        return Json({"answers": [_similar(one, request) for one in asked.requests]})
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/search", response_model=body.List, responses=NAMED, tags=["lists"])
def search(asked: body.Search, request: Request) -> Response:
    """Items that fit words, a picture, an item; words beside a picture or an item change what it shows.

    The latter needs encoders that share a space; a run without them answers 422 and says what would help.
    """
    wish = RecommendRequest(
        asked.k, asked.user, None, asked.text, _picture(asked.image), asked.like, _filters(asked), model=asked.model
    )
    try:
        return Json(_answer(request, wish))
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/explain", response_model=body.Explained, responses=NAMED, tags=["lists"])
def explain(asked: body.Explain, request: Request) -> Response:
    """What carried the score of an item: liked items, modalities, what others did, attributes in common."""
    try:
        return Json(explained(_service(request).explain(asked.item, asked.user, asked.liked, asked.model)))
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/items", response_model=body.Puts, status_code=201, responses=USED, tags=["items"])
def put_items(asked: body.Items, request: Request) -> Response:
    """Add or change items, all or none; they can be recommended when this is answered."""
    records = [(one.id, one.fields, None if one.image is None else decode_base64(one.image)) for one in asked.items]
    made = _service(request).put_items(records)
    return Json({"items": [{"id": one.id, "status": how} for one, how in zip(asked.items, made)]}, 201)


@router.get("/v1/items/{item:path}", response_model=body.KnownItem, responses=documented(404, 422), tags=["items"])
def get_item(item: ItemId, request: Request) -> Response:
    """An item as the catalogue has it."""
    try:
        snapshot, _, row = _service(request).find_item(item)
    except UnknownItem as error:
        raise HTTPException(404, "no such item") from error
    columns = editable_columns(snapshot.items)
    fields = {
        name: _plain(value) for name, value in snapshot.items.frame.row(row, named=True).items() if name in columns
    }
    path = f"/pictures/{item}" if item_image(snapshot, row) is not None else None
    return Json({"id": item, "title": snapshot.titles[row], "fields": fields, "picture": path})


@router.delete("/v1/items/{item:path}", status_code=204, responses=documented(404, 422), tags=["items"])
def drop_item(item: ItemId, request: Request) -> Response:
    """Take an item out of every answer from now on."""
    try:
        _service(request).remove_item(item)
    except UnknownItem as error:
        raise HTTPException(404, "no such item") from error
    return Response(status_code=204)


@router.get(
    "/pictures/{item:path}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **documented(404, 422)},
    tags=["items"],
)
def picture(
    item: ItemId, request: Request, side: Annotated[int, Query(description=f"one of {THUMBNAIL_SIDES}")] = 320
) -> Response:
    """The picture of an item as JPEG, made small."""
    if side not in THUMBNAIL_SIDES:
        raise HTTPException(422, f"side is one of {', '.join(map(str, THUMBNAIL_SIDES))}")
    try:
        snapshot, _, row = _service(request).find_item(item)
    except UnknownItem as error:
        raise HTTPException(404, "no such item") from error
    source = item_image(snapshot, row)
    made = None if source is None else thumbnail(source, side)
    if made is None:
        raise HTTPException(404, "no such picture")
    return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


@router.post("/v1/events", response_model=body.Stored, status_code=201, responses=USED, tags=["people"])
def log(asked: body.Events, request: Request) -> Response:
    """What people did; on disk when this is answered, and true of the next list."""
    given = [{k: v for k, v in one.model_dump().items() if v is not None} for one in asked.events]
    return Json({"stored": _service(request).log_events([Event(**one) for one in given])}, 201)


@router.delete("/v1/users/{user:path}", response_model=body.Forgotten, responses=documented(422), tags=["people"])
def forget(user: UserId, request: Request) -> Response:
    """Forget a user: events, history and vectors, here and in the run."""
    events, known = _service(request).erase_user(user)
    return Json({"events": events, "known": known})


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Whether the process answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=body.Ready, responses={503: {"model": body.Problem}}, tags=["server"])
async def readyz(request: Request) -> Response:
    """Whether lists can be made, and by which run."""
    snapshot = _service(request).snapshot
    return Json({"run": snapshot.fingerprint, "items": int(snapshot.active.sum())})


@router.get("/metrics", response_class=Response, tags=["server"])
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    service, measures = _service(request), request.app.state.measures
    page = measures.page(lambda: {"items": int(service.snapshot.active.sum()), "events": service.events.count()})
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


def generating() -> APIRouter:
    """The route for generators, for an app that has any."""
    more = APIRouter()

    @more.post("/v1/generate", response_model=body.Generated, responses=NAMED, tags=["content"])
    def generate(asked: body.Generate, request: Request) -> Response:
        """Content about an item, made for a person."""
        service = _service(request)
        try:
            snapshot, _, row = service.find_item(asked.item)
        except UnknownItem as error:
            raise HTTPException(404, "no such item") from error
        who = service.user_state(snapshot, asked.user, asked.liked)
        able = [name for name, kind in generators.items() if asked.kind in kind.kinds]
        name = asked.generator or (able[0] if able else "")
        if name not in able:
            raise HTTPException(422, f"no such generator for {asked.kind}; there is {', '.join(able) or 'none'}")
        known = [snapshot.items.frame.row(int(at), named=True) for at in (row, *who.history)]
        order = GenerationRequest(asked.kind, known[0], known[1:], asked.wish)
        made = _generator(name).generate([order])[0]
        image = None if made.image is None else base64.b64encode(made.image).decode()
        return Json(
            {"text": made.text, "image": image, "provenance": dict(made.provenance), "scores": dict(made.scores)}
        )

    return more


@cache
def _generator(name: str) -> Generator:
    """Made once for a server: a generator may hold a large model."""
    return generators.get(name)()


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
