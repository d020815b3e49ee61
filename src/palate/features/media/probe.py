"""Check whether a media file can be decoded, without encoding it."""

from __future__ import annotations

from pathlib import Path

from palate.core.encoder import Raw
from palate.core.errors import FeatureError, PalateError
from palate.features.media.audio import read_audio
from palate.features.media.image import open_image
from palate.features.media.source import media_resolver
from palate.features.media.video import read_video


def probe_media(raw: Raw, modality: str, root: str | Path | None = None) -> str | None:
    """The reason why a media file cannot be decoded; None if it can, or is absent, or is not media.

    Args:
        raw: path or bytes.
        modality: ``image``, ``audio`` or ``video``; any other is not looked at.
        root: folder of the catalogue; None trusts paths as they are.
    """
    if raw is None or modality not in ("image", "audio", "video"):
        return None
    try:
        if not isinstance(raw, bytes | str | Path):
            raise FeatureError(f"{modality} must be a path or bytes, not {type(raw).__name__}")
        source = raw if isinstance(raw, bytes) else media_resolver(root)(raw)
        if modality == "image":
            open_image(source, near=32)
        elif modality == "audio":
            read_audio(source, 16_000, seconds=1.0)
        else:
            read_video(source, 1)
    except PalateError as error:
        return error.message
    return None
