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
from palate.serving.events import Event
from palate.serving.goods import open_columns
from palate.serving.pictures import SIDES, decoded, picture_of, remade, thumbnail
from palate.serving.shop import Shop, UnknownItem
from palate.serving.wishes import Told, Wish

from . import schemas as body
from .answers import Json, explained, told
from .measure import Measures
from .problems import documented

router = APIRouter()
USED = documented(400, 413, 422)
NAMED = documented(400, 404, 413, 422)
ItemId = Annotated[str, Path(min_length=1, max_length=body.LONGEST, description="an item")]
UserId = Annotated[str, Path(min_length=1, max_length=body.LONGEST, description="a user")]


def _shop(request: Request) -> Shop:
    found: Shop = request.app.state.shop
    return found


def _answer(request: Request, wish: Wish) -> dict[str, Any]:
    answer: Told = _shop(request).recommend(wish)
    measures: Measures = request.app.state.measures
    for name, seconds, outcome in answer.steps:
        measures.staged(name, seconds, outcome)
    return told(answer)


def _picture(image: str | None) -> bytes | None:
    return None if image is None else remade(decoded(image))


def _filters(asked: body.Listed) -> dict[str, Any]:
    plain = {}
    for column, wanted in asked.filters.items():
        plain[column] = wanted.model_dump(exclude_none=True) if isinstance(wanted, body.Bounds) else wanted
    return plain


def _wish(asked: body.Recommend) -> Wish:
    return Wish(
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
    return await _promptly(lambda: _answer(request, wish), _shop(request).quick(wish))


@router.post("/v1/recommend/batch", response_model=body.RaggedArray, responses=USED, tags=["lists"])
def recommend_batch(asked: body.ManyRecommend, request: Request) -> Response:
    """Several lists at once; one that cannot be made makes none."""
    return Json({"answers": [_answer(request, _wish(one)) for one in asked.requests]})


def _similar(asked: body.Similar, request: Request) -> dict[str, Any]:
    return told(_shop(request).similar(asked.item, asked.k, _filters(asked), asked.model))


@router.post("/v1/similar", response_model=body.List, responses=NAMED, tags=["lists"])
async def similar(asked: body.Similar, request: Request) -> Response:
    """What somebody who took only this item would get."""
    quick = _shop(request).quick(Wish(model=asked.model))
    try:
        return await _promptly(lambda: _similar(asked, request), quick)
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/similar/batch", response_model=body.RaggedArray, responses=NAMED, tags=["lists"])
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
    wish = Wish(
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
        return Json(explained(_shop(request).explain(asked.item, asked.user, asked.liked, asked.model)))
    except UnknownItem as error:
        raise HTTPException(404, str(error)) from error


@router.post("/v1/items", response_model=body.Puts, status_code=201, responses=USED, tags=["items"])
def put_items(asked: body.Items, request: Request) -> Response:
    """Add or change items, all or none; they can be recommended when this is answered."""
    records = [(one.id, one.fields, None if one.image is None else decoded(one.image)) for one in asked.items]
    made = _shop(request).put(records)
    return Json({"items": [{"id": one.id, "status": how} for one, how in zip(asked.items, made)]}, 201)


@router.get("/v1/items/{item:path}", response_model=body.KnownItem, responses=documented(404, 422), tags=["items"])
def get_item(item: ItemId, request: Request) -> Response:
    """An item as the catalogue has it."""
    try:
        edition, _, row = _shop(request).find(item)
    except UnknownItem as error:
        raise HTTPException(404, "no such item") from error
    columns = open_columns(edition.items)
    fields = {
        name: _plain(value) for name, value in edition.items.frame.row(row, named=True).items() if name in columns
    }
    path = f"/pictures/{item}" if picture_of(edition, row) is not None else None
    return Json({"id": item, "title": edition.titles[row], "fields": fields, "picture": path})


@router.delete("/v1/items/{item:path}", status_code=204, responses=documented(404, 422), tags=["items"])
def drop_item(item: ItemId, request: Request) -> Response:
    """Take an item out of every answer from now on."""
    try:
        _shop(request).drop(item)
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
    item: ItemId, request: Request, side: Annotated[int, Query(description=f"one of {SIDES}")] = 320
) -> Response:
    """The picture of an item as JPEG, made small."""
    if side not in SIDES:
        raise HTTPException(422, f"side is one of {', '.join(map(str, SIDES))}")
    try:
        edition, _, row = _shop(request).find(item)
    except UnknownItem as error:
        raise HTTPException(404, "no such item") from error
    source = picture_of(edition, row)
    made = None if source is None else thumbnail(source, side)
    if made is None:
        raise HTTPException(404, "no such picture")
    return Response(made, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


@router.post("/v1/events", response_model=body.Stored, status_code=201, responses=USED, tags=["people"])
def log(asked: body.Events, request: Request) -> Response:
    """What people did; on disk when this is answered, and true of the next list."""
    given = [{k: v for k, v in one.model_dump().items() if v is not None} for one in asked.events]
    return Json({"stored": _shop(request).log([Event(**one) for one in given])}, 201)


@router.delete("/v1/users/{user:path}", response_model=body.Forgotten, responses=documented(422), tags=["people"])
def forget(user: UserId, request: Request) -> Response:
    """Forget a user: events, history and vectors, here and in the run."""
    events, known = _shop(request).forget(user)
    return Json({"events": events, "known": known})


@router.get("/healthz", include_in_schema=False)
async def healthz() -> Response:
    """Whether the process answers."""
    return Json({"status": "ok"})


@router.get("/readyz", response_model=body.Ready, responses={503: {"model": body.Problem}}, tags=["server"])
async def readyz(request: Request) -> Response:
    """Whether lists can be made, and by which run."""
    edition = _shop(request).edition
    return Json({"run": edition.mark, "items": int(edition.alive.sum())})


@router.get("/metrics", response_class=Response, tags=["server"])
def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    shop, measures = _shop(request), request.app.state.measures
    page = measures.page(lambda: {"items": int(shop.edition.alive.sum()), "events": shop.events.count()})
    return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


def generating() -> APIRouter:
    """The route for generators, for an app that has any."""
    more = APIRouter()

    @more.post("/v1/generate", response_model=body.Generated, responses=NAMED, tags=["content"])
    def generate(asked: body.Generate, request: Request) -> Response:
        """Content about an item, made for a person."""
        shop = _shop(request)
        try:
            edition, _, row = shop.find(asked.item)
        except UnknownItem as error:
            raise HTTPException(404, "no such item") from error
        who = shop.person(edition, asked.user, asked.liked)
        able = [name for name, kind in generators.items() if asked.kind in kind.kinds]
        name = asked.generator or (able[0] if able else "")
        if name not in able:
            raise HTTPException(422, f"no such generator for {asked.kind}; there is {', '.join(able) or 'none'}")
        known = [edition.items.frame.row(int(at), named=True) for at in (row, *who.liked)]
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
