"""Content hashes, by which the store recognises raw content."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.content import MODALITIES
from palate.core.encoder import Raw
from palate.core.errors import FeatureError
from palate.core.files import digest, file_digest
from palate.features.encoders.base import EncodingFailure
from palate.features.media.source import media_resolver

_MEDIA = ("image", "audio", "video")


def keys_of(
    raws: Sequence[Raw], modality: str, root: str | Path | None
) -> tuple[list[Raw], list[str | None], list[EncodingFailure]]:
    """Content hashes of raw content.

    Args:
        raws: content of one modality.
        modality: one of :data:`palate.core.content.MODALITIES`.
        root: folder that media paths are relative to and may not leave; None trusts them.

    Returns:
        The content with paths resolved, a hash each (None where it is absent or cannot be read), and failures.

    Raises:
        FeatureError: for an unknown modality.
    """
    if modality not in MODALITIES:
        raise FeatureError(f"unknown modality {modality!r}", hint=f"known: {', '.join(MODALITIES)}")
    sources: list[Raw] = []
    keys: list[str | None] = []
    failures: list[EncodingFailure] = []
    resolve = media_resolver(root)
    for row, raw in enumerate(raws):
        source, key = raw, None
        try:
            if modality in _MEDIA and isinstance(raw, str | Path):
                source = resolve(raw)
            key = None if raw is None else content_hash(source, modality)
        except FeatureError as error:
            failures.append(EncodingFailure(row, error.message, error.file))
        sources.append(source)
        keys.append(key)
    return sources, keys, failures


def content_hash(raw: Raw, modality: str) -> str:
    """Hash of one piece of content; equal bytes give equal hashes, whether from memory or from a file.

    Args:
        raw: content that is present.
        modality: the word for it in errors.

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
        # the hash of the bytes in memory, which digest() prefixes with their number
        return file_digest(path, prefix=path.stat().st_size.to_bytes(8, "little"))
    except (OSError, ValueError) as error:
        raise FeatureError(f"cannot be read ({error})", file=str(path)[:200]) from error


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
