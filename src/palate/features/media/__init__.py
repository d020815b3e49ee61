"""Decoding of files that nobody vouches for: pictures, sound and video, within limits, each fault with its reason."""

from .audio import read_audio
from .image import open_image
from .probe import probe_media
from .source import LIMITS, Limits, load_bytes, resolve_media, sniff
from .video import read_video

__all__ = [
    "LIMITS",
    "Limits",
    "load_bytes",
    "open_image",
    "probe_media",
    "read_audio",
    "read_video",
    "resolve_media",
    "sniff",
]
