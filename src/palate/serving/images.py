"""Pictures that come from outside: opened by the allow-list, made anew, kept under the hash of what was made."""

from __future__ import annotations

import base64
import binascii
import io
from functools import lru_cache
from pathlib import Path

import numpy as np

from palate.core.errors import FeatureError, PalateError
from palate.core.files import atomic_path, digest
from palate.features.media import open_image
from palate.serving.snapshot import ModelSnapshot

MAX_SIDE, QUALITY = 1024, 88
"""Longest side of a picture that is kept."""
THUMBNAIL_SIDES = (96, 192, 320, 640)
"""Longest sides in which pictures are shown."""
MAX_IMAGE_BYTES = 10 * 2**20
"""Of a picture that may come."""


def decode_base64(text: str) -> bytes:
    """The bytes of base64 text; a ``data:`` prefix is passed over.

    Raises:
        FeatureError: for what is not base64, or too large.
    """
    text = text.partition(",")[2] if text.startswith("data:") else text
    if len(text) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise FeatureError(f"a picture above {MAX_IMAGE_BYTES // 2**20} MiB", key="image")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise FeatureError("not base64", key="image", hint="send the file's bytes as base64 text") from error


def sanitize_image(source: bytes | Path, side: int = MAX_SIDE) -> bytes:
    """JPEG bytes of the same picture with nothing else in them: no metadata, no second picture, no trailing bytes.

    Raises:
        FeatureError: for what is no picture of an allowed format and size.
    """
    if isinstance(source, bytes) and len(source) > MAX_IMAGE_BYTES:
        raise FeatureError(f"a picture above {MAX_IMAGE_BYTES // 2**20} MiB", key="image")
    picture = open_image(source, near=side)
    picture.thumbnail((side, side))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


def store_image(folder: Path, data: bytes) -> tuple[str, Path]:
    """Write a picture made by :func:`sanitize_image` under its hash, once; the hash and the file."""
    mark = digest(data)
    path = folder / f"{mark}.jpg"
    if not path.is_file():
        with atomic_path(path) as aside:
            aside.write_bytes(data)
    return mark, path


def item_image(snapshot: ModelSnapshot, row: int) -> bytes | Path | None:
    """The picture of an item: what was sent here, else the file its table names; None where there is none."""
    if row in snapshot.pictures:
        return snapshot.pictures[row]
    if "image" not in snapshot.items.kinds.values():
        return None
    try:
        raw = snapshot.items.raw("image", np.array([row]))[0]
    except PalateError:
        return None
    return raw if isinstance(raw, bytes | Path) else None


def thumbnail(source: bytes | Path, side: int) -> bytes | None:
    """JPEG bytes with the longest side ``side``; None for what cannot be opened. The latest ones are remembered."""
    if isinstance(source, bytes):
        return _thumbnail(source, side, 0)
    try:
        return _thumbnail(source, side, source.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=4096)
def _thumbnail(source: bytes | Path, side: int, changed: int) -> bytes | None:
    try:
        return sanitize_image(source, side)
    except (PalateError, OSError):
        return None
