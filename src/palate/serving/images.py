"""Images from outside: checked against a list of formats, encoded again, and stored under the hash of the result."""

from __future__ import annotations

import base64
import binascii
import io
import os
import time
from collections.abc import Collection
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from palate.core.errors import FeatureError, PalateError
from palate.core.files import atomic_path, digest
from palate.features.media import open_image
from palate.serving.snapshot import ModelSnapshot

MAX_SIDE, QUALITY = 1024, 88
"""Longest side of a stored image, in pixels; JPEG quality."""
UNUSED_SECONDS = 3600.0
"""Seconds for which an image without an item is kept."""
THUMBNAIL_SIDES = (96, 192, 320, 640)
"""Longest sides in which images are shown, in pixels."""
MAX_IMAGE_BYTES = 10 * 2**20
"""Size of an image from outside."""


class StoredImage(NamedTuple):
    """An image in the state folder.

    Attributes:
        hash: hash of its content.
        path: its file.
    """

    hash: str
    path: Path


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text.

    Args:
        text: base64, with or without a ``data:`` prefix; white space, such as line breaks, is ignored.

    Raises:
        FeatureError: if the text is not base64, or is too large.
    """
    text = "".join(text.split())
    text = text.partition(",")[2] if text.startswith("data:") else text
    if len(text) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise FeatureError(f"the image is larger than {MAX_IMAGE_BYTES // 2**20} MiB", key="image")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FeatureError("not base64", key="image", hint="send the file's bytes as base64 text") from error


def sanitize_image(source: bytes | Path, side: int = MAX_SIDE) -> bytes:
    """The image as a new JPEG with nothing else in it: no metadata, no second image, no trailing bytes.

    Args:
        source: bytes or file of an image.
        side: longest side of the result, in pixels; a smaller image keeps its size.

    Raises:
        FeatureError: if it is not an image of an allowed format and size.
    """
    if isinstance(source, bytes) and len(source) > MAX_IMAGE_BYTES:
        raise FeatureError(f"the image is larger than {MAX_IMAGE_BYTES // 2**20} MiB", key="image")
    image = open_image(source, near=side)
    image.thumbnail((side, side))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def store_image(folder: Path, data: bytes) -> StoredImage:
    """Write an image under the hash of its content, once.

    Args:
        folder: folder of images.
        data: result of :func:`sanitize_image`.
    """
    content_hash = digest(data)
    path = folder / image_file(content_hash)
    if path.is_file():
        # it is in use again, which :func:`remove_unused_images` must not miss
        os.utime(path)
    else:
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
    return StoredImage(content_hash, path)


def remove_unused_images(folder: Path, used: Collection[str], age: float = UNUSED_SECONDS) -> int:
    """Remove images of items that were removed, or that got others.

    Args:
        folder: folder of images.
        used: hashes of images that items have.
        age: seconds for which an image is kept after it was stored: its item may be on its way into the log.

    Returns:
        Number of images that were removed.
    """
    removed, before = 0, time.time() - age
    for path in folder.glob("*.jpg"):
        if path.stem not in used:
            # another process may be faster
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
                    removed += 1
    return removed


def image_file(content_hash: str) -> str:
    """File name of a stored image."""
    return f"{content_hash}.jpg"


def item_image(snapshot: ModelSnapshot, row: int) -> bytes | Path | None:
    """The image of an item: the one that was sent to the service, else the file that the catalogue names.

    Args:
        snapshot: the snapshot.
        row: row of the item.

    Returns:
        Bytes or file; None where there is no image.
    """
    if row in snapshot.images:
        return snapshot.images[row]
    if "image" not in snapshot.items.kinds.values():
        return None
    try:
        raw = snapshot.items.raw("image", np.array([row]))[0]
    except PalateError:
        return None
    return raw if isinstance(raw, bytes | Path) else None


def thumbnail(source: bytes | Path, side: int) -> bytes | None:
    """JPEG bytes of a small image; recent results are cached.

    Args:
        source: bytes or file of an image.
        side: longest side, in pixels.

    Returns:
        JPEG bytes; None for an image that cannot be opened.
    """
    if isinstance(source, bytes):
        return _thumbnail(source, side, 0)
    try:
        return _thumbnail(source, side, source.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _thumbnail(source: bytes | Path, side: int, modified: int) -> bytes | None:
    try:
        return sanitize_image(source, side)
    except (PalateError, OSError):
        return None
