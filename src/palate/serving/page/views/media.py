"""Pictures of items, a drawn stand-in for those without, and static files."""

from __future__ import annotations

import zlib

from fastapi import APIRouter, Request
from markupsafe import escape
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.core.files import digest
from palate.serving.images import THUMBNAIL_SIDES, item_image, thumbnail
from palate.serving.page.render import KINDS, lists_all, service_of

FOREVER = "public, max-age=31536000, immutable"
AN_HOUR = "private, max-age=3600"
HUES = 6


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/picture/{item:path}")(picture)
    router.get("/static/{name}")(static)
    router.get("/favicon.ico")(icon)


def picture(request: Request, item: str) -> Response:
    """A small picture of an item; drawn where there is none that can be opened."""
    service, query = service_of(request), request.query_params
    snapshot, _, row = service.find_item(item)
    side = next((side for side in THUMBNAIL_SIDES if query.get("side") == str(side)), None)
    if side is None and "side" in query:
        raise HTTPException(422, f"Pictures come in sides of {', '.join(map(str, THUMBNAIL_SIDES))}.")
    source = item_image(snapshot, row)
    data = None if source is None else thumbnail(source, side or THUMBNAIL_SIDES[2])
    kind = "image/jpeg"
    if data is None:
        data, kind = stand_in(snapshot.stats.titles[row], item), "image/svg+xml"
    return _kept(request, data, kind, FOREVER if "v" in query else AN_HOUR)


def static(request: Request, name: str) -> Response:
    """A file of the page."""
    found = lists_all().get(name)
    if found is None:
        raise HTTPException(404, "There is no such file.")
    data, mark = found
    kept = FOREVER if request.query_params.get("v") == mark else AN_HOUR
    return _kept(request, data, KINDS[name.rpartition(".")[2]], kept)


def icon(request: Request) -> Response:
    """What a browser shows in its tab."""
    return static(request, "icon.svg")


def stand_in(title: str, item: str) -> bytes:
    """Initials on a tint that is always the same for an item."""
    words = [word for word in title.split() if word[0].isalnum()]
    letters = escape("".join(word[0] for word in words[:2]).upper() or "·")
    hue = 24 + zlib.crc32(item.encode()) % HUES * 360 // HUES
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320">'
        f'<rect width="320" height="320" fill="hsl({hue} 24% 86%)"/>'
        f'<circle cx="250" cy="70" r="130" fill="hsl({hue} 28% 80%)"/>'
        f'<text x="160" y="164" text-anchor="middle" dominant-baseline="central" font-family="system-ui, sans-serif" '
        f'font-size="104" font-weight="600" fill="hsl({hue} 32% 34%)">{letters}</text></svg>'
    ).encode()


def _kept(request: Request, data: bytes, kind: str, how: str) -> Response:
    mark = f'"{digest(data)[:20]}"'
    headers = {"ETag": mark, "Cache-Control": how}
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if mark in known:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=kind, headers=headers)
