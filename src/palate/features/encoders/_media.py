"""Raw media as encoders accept it."""

from __future__ import annotations

from pathlib import Path

from palate.core.encoder import Raw
from palate.core.errors import FeatureError


def media_source(raw: Raw, modality: str) -> bytes | Path:
    """Bytes, or a path (the feature store has already resolved it inside the catalogue's folder)."""
    if isinstance(raw, bytes | Path):
        return raw
    if isinstance(raw, str):
        return Path(raw)
    raise FeatureError(f"{modality} expected as a path or bytes, not {type(raw).__name__}")
