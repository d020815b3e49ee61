"""Content hashes: what makes two pieces of raw content the same."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.content import MODALITIES
from palate.core.encoder import Raw
from palate.core.errors import FeatureError
from palate.core.files import digest
from palate.features.encoders.base import EncodingFailure
from palate.features.media.source import resolve_media

_MEDIA = ("image", "audio", "video")
_CHUNK = 2**20


def keys_of(
    raws: Sequence[Raw], modality: str, root: str | Path | None
) -> tuple[list[Raw], list[str | None], list[EncodingFailure]]:
    """Raw content with paths resolved, a hash each (None where absent or out of reach), and what is out of reach.

    Raises:
        FeatureError: for an unknown modality.
    """
    if modality not in MODALITIES:
        raise FeatureError(f"unknown modality {modality!r}", hint=f"known: {', '.join(MODALITIES)}")
    sources: list[Raw] = []
    keys: list[str | None] = []
    failures: list[EncodingFailure] = []
    for row, raw in enumerate(raws):
        source, key = raw, None
        try:
            if modality in _MEDIA and isinstance(raw, str | Path):
                source = resolve_media(root, raw)
            key = None if raw is None else content_hash(source, modality)
        except FeatureError as error:
            failures.append(EncodingFailure(row, error.message, error.file))
        sources.append(source)
        keys.append(key)
    return sources, keys, failures


def content_hash(raw: Raw, modality: str) -> str:
    """Hash of one piece of content; equal bytes give equal hashes, whether from memory or from a file.

    Raises:
        FeatureError: for a file that cannot be read, or content of a wrong type.
    """
    if isinstance(raw, Path):
        return _file_hash(raw)
    if isinstance(raw, bytes):
        return digest(raw)
    if isinstance(raw, str):
        return digest("text", raw.encode("utf-8", "surrogatepass"))
    if isinstance(raw, Mapping):
        return digest("attributes", json.dumps(_plain(raw)))
    raise FeatureError(f"{modality} content of type {type(raw).__name__}")


def _file_hash(path: Path) -> str:
    try:
        if not path.is_file():
            raise FeatureError("no such file" if not path.exists() else "not a regular file", file=path)
        state = hashlib.blake2b(digest_size=16)
        state.update(path.stat().st_size.to_bytes(8, "little"))
        with open(path, "rb") as handle:
            while chunk := handle.read(_CHUNK):
                state.update(chunk)
    except (OSError, ValueError) as error:
        raise FeatureError(f"cannot be read ({error})", file=str(path)[:200]) from error
    return state.hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return [[str(key), _plain(value[key])] for key in sorted(value, key=str)]
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, set | frozenset):
        return sorted(str(part) for part in value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return [type(value).__name__, str(value)]
