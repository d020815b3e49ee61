"""Items of the catalogue and their images."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from pydantic import AfterValidator, JsonValue
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.serving.api import request_schemas as bodies
from palate.serving.api import response_schemas as schemas
from palate.serving.api.endpoints.shared import BODY_ERRORS, ItemId, service_of, unknown_item_is_404
from palate.serving.api.problems import documented
from palate.serving.api.responses import JsonResponse
from palate.serving.catalog_updates import editable_columns
from palate.serving.images import THUMBNAIL_SIDES, decode_base64, item_image, thumbnail
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


@router.post("/v1/items", response_model=schemas.StoredItems, status_code=201, responses=BODY_ERRORS)
def put_items(body: bodies.ItemsBody, request: Request) -> Response:
    """Add or update items, all or none; they can be recommended when this is answered."""
    records = [(item.id, item.fields, None if item.image is None else decode_base64(item.image)) for item in body.items]
    statuses = service_of(request).put_items(records)
    return JsonResponse({"items": [{"id": i.id, "status": status} for i, status in zip(body.items, statuses)]}, 201)


@router.get("/v1/items/{item:path}", response_model=schemas.CatalogItem, responses=documented(404, 422))
def get_item(item: ItemId, request: Request) -> Response:
    """An item of the catalogue."""
    with unknown_item_is_404():
        snapshot, _, row = service_of(request).find_item(item)
    values, columns = snapshot.items.frame.row(row, named=True), editable_columns(snapshot.items)
    return JsonResponse(
        {
            "id": item,
            "title": snapshot.stats.titles[row],
            "fields": {name: _json(value) for name, value in values.items() if name in columns},
            "image_url": f"/v1/images/{item}" if item_image(snapshot, row) is not None else None,
        }
    )


@router.delete("/v1/items/{item:path}", status_code=204, responses=documented(404, 422))
def remove_item(item: ItemId, request: Request) -> Response:
    """Remove an item from every list from now on."""
    with unknown_item_is_404():
        service_of(request).remove_item(item)
    return Response(status_code=204)


@router.get(
    "/v1/images/{item:path}",
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}, **documented(404, 422)},
)
def get_image(item: ItemId, request: Request, size: Size = 320) -> Response:
    """The image of an item as a JPEG thumbnail."""
    with unknown_item_is_404():
        snapshot, _, row = service_of(request).find_item(item)
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
