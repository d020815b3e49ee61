"""Decoding of untrusted files: pictures, sound and video, within limits, each failure with its reason."""

from palate.features.media.audio import read_audio
from palate.features.media.image import open_image
from palate.features.media.probe import probe_media
from palate.features.media.source import LIMITS, Limits, load_bytes, media_resolver, sniff
from palate.features.media.video import read_video

__all__ = [
    "LIMITS",
    "Limits",
    "load_bytes",
    "open_image",
    "probe_media",
    "read_audio",
    "read_video",
    "media_resolver",
    "sniff",
]
