"""Items of the catalogue and their images."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, JsonValue
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import BODY_ERRORS, ItemId, ItemQuery, service_of, unknown_item_is_404
from palate.serving.api.ids import id_address, item_id
from palate.serving.api.problems import documented
from palate.serving.api.responses import JsonResponse
from palate.serving.api.threads import run_apart
from palate.serving.batches import each, raise_faults
from palate.serving.catalog_updates import editable_columns
from palate.serving.images import THUMBNAIL_SIDES, decode_base64, item_image, thumbnail
from palate.serving.item_checks import Record
from palate.serving.snapshot import ModelSnapshot

router = APIRouter(tags=["items"])


def _offered(size: int) -> int:
    if size not in THUMBNAIL_SIDES:
        raise ValueError(f"must be one of {', '.join(map(str, THUMBNAIL_SIDES))}")
    return size


Size = Annotated[
    int,
    Query(description="longest side in pixels", json_schema_extra={"enum": list(THUMBNAIL_SIDES)}),
    AfterValidator(_offered),
]


IMAGE_RESPONSES: dict[int | str, dict[str, Any]] = {200: {"content": {"image/jpeg": {}}}, **documented(404, 422)}


@router.post("/v1/items", response_model=schemas.StoredItems, status_code=201, responses=BODY_ERRORS)
def put_items(body: bodies.ItemsBody, request: Request) -> Response:
    """Add or update items, all or none; they can be recommended when this is answered.

    Every row that is wrong is named, up to 20. A request that is sent again changes nothing.
    """
    service = service_of(request)

    def record(item: bodies.ItemBody) -> Record:
        return item_id(service, item.id), item.fields, None if item.image is None else decode_base64(item.image)

    records, faults = each(body.items, record)
    if faults:
        raise_faults({**service.item_faults(records), **faults}, len(records))
    given = [one for one in records if one is not None]
    statuses = service.put_items(given)
    return JsonResponse({"items": [{"id": one[0], "status": status} for one, status in zip(given, statuses)]}, 201)


@router.get("/v1/items/{item:id}", response_model=schemas.CatalogItem, responses=documented(404, 422))
def get_item(item: ItemId, request: Request) -> Response:
    """An item of the catalogue."""
    return _item(request, item)


@router.get("/v1/items", response_model=schemas.CatalogItem, responses=documented(404, 422))
def get_item_by_query(item: ItemQuery, request: Request) -> Response:
    """An item whose id a path cannot hold, such as ``..``."""
    return _item(request, item)


@router.delete("/v1/items/{item:id}", status_code=204, responses=documented(404, 422))
def remove_item(item: ItemId, request: Request) -> Response:
    """Remove an item from every list from now on."""
    return _remove(request, item)


@router.delete("/v1/items", status_code=204, responses=documented(404, 422))
def remove_item_by_query(item: ItemQuery, request: Request) -> Response:
    """Remove an item whose id a path cannot hold, such as ``..``."""
    return _remove(request, item)


@router.get("/v1/images/{item:id}", response_class=Response, responses=IMAGE_RESPONSES)
async def get_image(item: ItemId, request: Request, size: Size = 320) -> Response:
    """The image of an item as a JPEG thumbnail."""
    return await run_apart("files", lambda: _image(request, item, size))


@router.get("/v1/images", response_class=Response, responses=IMAGE_RESPONSES)
async def get_image_by_query(item: ItemQuery, request: Request, size: Size = 320) -> Response:
    """The image of an item whose id a path cannot hold, such as ``..``."""
    return await run_apart("files", lambda: _image(request, item, size))


def _item(request: Request, item: str) -> Response:
    service = service_of(request)
    name = item_id(service, item)
    with unknown_item_is_404():
        snapshot, _, row = service.find_item(name)
    values, columns = snapshot.items.frame.row(row, named=True), editable_columns(snapshot.items)
    return JsonResponse(
        {
            "id": name,
            "title": snapshot.stats.titles[row],
            "fields": {column: _json(value) for column, value in values.items() if column in columns},
            "image_url": id_address("/v1/images", name) if item_image(snapshot, row) is not None else None,
        }
    )


def _remove(request: Request, item: str) -> Response:
    service = service_of(request)
    with unknown_item_is_404():
        service.remove_item(item_id(service, item))
    return Response(status_code=204)


def _image(request: Request, item: str, size: int) -> Response:
    service = service_of(request)
    with unknown_item_is_404():
        snapshot, _, row = service.find_item(item_id(service, item))
    data = _thumbnail(snapshot, row, size)
    return Response(data, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=300"})


def _thumbnail(snapshot: ModelSnapshot, row: int, size: int) -> bytes:
    source = item_image(snapshot, row)
    data = None if source is None else thumbnail(source, size)
    if data is None:
        raise HTTPException(404, f"this item has no image: {snapshot.ids[row]!r}")
    return data


def _json(value: object) -> JsonValue:
    """A cell of the catalogue as JSON: dates and other types as text."""
    if isinstance(value, list):
        return [_json(part) for part in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
