"""Images of items, placeholders for missing ones, and static files."""

from __future__ import annotations

import zlib

from fastapi import APIRouter, Request
from markupsafe import escape
from starlette.exceptions import HTTPException
from starlette.responses import Response

from palate.core.files import digest
from palate.serving.api.threads import run_apart
from palate.serving.images import THUMBNAIL_SIDES, item_image, thumbnail
from palate.serving.page.render import service_of, static_files

IMMUTABLE = "public, max-age=31536000, immutable"
ONE_HOUR = "private, max-age=3600"
DEFAULT_SIZE = THUMBNAIL_SIDES[2]
HUES = 6


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/image/{item:id}")(image)
    router.get("/image")(image_by_query)
    router.get("/static/{name}")(static)
    router.get("/favicon.ico")(favicon)


async def image(request: Request, item: str) -> Response:
    """The image of an item.

    Args:
        request: the request; its parameter ``size`` is the longest side in pixels.
        item: item id.

    Raises:
        UnknownItem: for an unknown item.
        HTTPException: 422 for a size that is not offered.
    """
    return await run_apart("files", lambda: _image(request, item))


async def image_by_query(request: Request) -> Response:
    """The image of an item whose id a path cannot hold, such as ``..``.

    Args:
        request: the request; its parameter ``id`` is the item.

    Raises:
        UnknownItem: for an unknown item.
        HTTPException: 422 for a size that is not offered.
    """
    return await run_apart("files", lambda: _image(request, request.query_params.get("id", "")))


async def static(request: Request, name: str) -> Response:
    """A static file.

    Args:
        request: the request.
        name: file name.

    Raises:
        HTTPException: 404 for an unknown file.
    """
    return _static(request, name)


async def favicon(request: Request) -> Response:
    """The icon of a browser tab.

    Args:
        request: the request.
    """
    return _static(request, "icon.svg")


def _image(request: Request, item: str) -> Response:
    """A thumbnail; a placeholder where there is no image that can be opened."""
    service, query = service_of(request), request.query_params
    snapshot, _, row = service.find_item(item)
    size = next((side for side in THUMBNAIL_SIDES if query.get("size") == str(side)), None)
    if size is None and "size" in query:
        raise HTTPException(422, f"The size of an image is one of {', '.join(map(str, THUMBNAIL_SIDES))}.")
    source = item_image(snapshot, row)
    data = None if source is None else thumbnail(source, size or DEFAULT_SIZE)
    media_type = "image/jpeg"
    if data is None:
        data, media_type = placeholder(snapshot.stats.titles[row], item), "image/svg+xml"
    return _cached(request, data, media_type, IMMUTABLE if "v" in query else ONE_HOUR)


def _static(request: Request, name: str) -> Response:
    file = static_files().get(name)
    if file is None:
        raise HTTPException(404, "There is no such file.")
    policy = IMMUTABLE if request.query_params.get("v") == file.version else ONE_HOUR
    return _cached(request, file.data, file.media_type, policy)


def placeholder(title: str, item: str) -> bytes:
    """An SVG with the initials of an item, on a colour that depends on its id alone, and a dark one on dark pages.

    Args:
        title: title of the item.
        item: item id.
    """
    words = [word for word in title.split() if word[0].isalnum()]
    letters = escape("".join(word[0] for word in words[:2]).upper() or "·")
    hue = 24 + zlib.crc32(item.encode()) % HUES * 360 // HUES
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 320">'
        f"<style>@media (prefers-color-scheme: dark) {{ rect {{ fill: hsl({hue} 14% 21%) }} "
        f"circle {{ fill: hsl({hue} 16% 26%) }} text {{ fill: hsl({hue} 24% 74%) }} }}</style>"
        f'<rect width="320" height="320" fill="hsl({hue} 24% 86%)"/>'
        f'<circle cx="250" cy="70" r="130" fill="hsl({hue} 28% 80%)"/>'
        f'<text x="160" y="164" text-anchor="middle" dominant-baseline="central" font-family="system-ui, sans-serif" '
        f'font-size="104" font-weight="600" fill="hsl({hue} 32% 34%)">{letters}</text></svg>'
    ).encode()


def _cached(request: Request, data: bytes, media_type: str, policy: str) -> Response:
    """A response that a browser may cache; 304 where it has the same bytes."""
    etag = f'"{digest(data)[:20]}"'
    headers = {"ETag": etag, "Cache-Control": policy}
    known = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    if etag in known:
        return Response(status_code=304, headers=headers)
    return Response(data, media_type=media_type, headers=headers)
