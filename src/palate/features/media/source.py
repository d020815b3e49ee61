"""Where media bytes may come from, how many, and what they are by content."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from palate.core.errors import FeatureError

VERSION = 1
"""Part of the identity of every media encoder: raise it when decoding changes what comes out."""


@dataclass(frozen=True)
class Limits:
    """What is decoded at most; beyond it a file is refused before its pixels or samples are unpacked.

    Attributes:
        image_bytes, audio_bytes, video_bytes: file size.
        pixels: width x height by the header, of a JPEG picture or a video frame.
        whole_pixels: the same for other pictures, which cannot be decoded at a fraction of their size.
        side: longest side of a picture by its header.
        seconds: audio beyond this is not read.
        frames: video frames decoded at most.
    """

    image_bytes: int = 64 * 2**20
    audio_bytes: int = 512 * 2**20
    video_bytes: int = 4 * 2**30
    pixels: int = 50_000_000
    whole_pixels: int = 36_000_000
    side: int = 30_000
    seconds: float = 600.0
    frames: int = 20_000


LIMITS = Limits()

_MAGIC: tuple[tuple[bytes, int, str], ...] = (
    (b"\xff\xd8\xff", 0, "JPEG"),
    (b"\x89PNG\r\n\x1a\n", 0, "PNG"),
    (b"GIF87a", 0, "GIF"),
    (b"GIF89a", 0, "GIF"),
    (b"BM", 0, "BMP"),
    (b"WEBP", 8, "WEBP"),
    (b"WAVE", 8, "WAV"),
    (b"AVI ", 8, "AVI"),
    (b"fLaC", 0, "FLAC"),
    (b"OggS", 0, "OGG"),
    (b"ID3", 0, "MP3"),
    (b"\xff\xfb", 0, "MP3"),
    (b"\xff\xf3", 0, "MP3"),
    (b"\xff\xf2", 0, "MP3"),
    (b"\x1aE\xdf\xa3", 0, "MATROSKA"),
    (b"ftypheic", 4, "HEIC"),
    (b"ftypheix", 4, "HEIC"),
    (b"ftypmif1", 4, "HEIF"),
    (b"ftypavif", 4, "AVIF"),
    (b"ftyp", 4, "MP4"),
    (b"moov", 4, "MP4"),
    (b"II*\x00", 0, "TIFF"),
    (b"MM\x00*", 0, "TIFF"),
    (b"SIMPLE  =", 0, "FITS"),
    (b"%PDF", 0, "PDF"),
    (b"PK\x03\x04", 0, "ZIP"),
    (b"\x1f\x8b", 0, "GZIP"),
    (b"\x7fELF", 0, "ELF"),
    (b"8BPS", 0, "PSD"),
    (b"%!PS", 0, "POSTSCRIPT"),
    (b"\x00\x00\x01\x00", 0, "ICO"),
)
_TEXTS = ((b"<svg", "SVG"), (b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"#extm3u", "M3U"), (b"<?xml", "XML"))


def sniff(data: bytes) -> str | None:
    """The format by content, for example ``"JPEG"``; None where the first bytes say nothing. Names never count."""
    for magic, offset, name in _MAGIC:
        if data.startswith(magic, offset) and (offset != 8 or data.startswith(b"RIFF")):
            return name
    head = data[:512].lower()
    return next((name for mark, name in _TEXTS if mark in head), None)


def resolve_media(root: str | Path | None, value: str | Path) -> Path:
    """The file that a catalogue names, inside the catalogue's folder.

    Args:
        root: folder of the catalogue; None trusts ``value`` as it is (paths written by the caller's own code).
        value: relative to ``root``, or absolute.

    Raises:
        FeatureError: for absolute paths elsewhere, ``..``, and links that lead out of ``root``.
    """
    if "\0" in str(value):
        raise FeatureError("a path with a NUL character", key=repr(str(value)))
    path = Path(value)
    if root is None:
        return path
    root = Path(root)
    if ".." in path.parts:
        raise FeatureError("a path with '..'", file=str(value), hint="media must lie inside the catalogue's folder")
    try:
        base = root.resolve()
        # A relative root that a caller has already joined must not be joined twice.
        joined = not path.is_absolute() and path.is_relative_to(root) and not (base / path).exists()
        full = (path if joined else base / path).resolve()
    except (OSError, RuntimeError) as error:
        raise FeatureError(f"an unusable path ({_why(error)})", file=str(value)[:200]) from error
    if not full.is_relative_to(base):
        raise FeatureError(f"leads out of {root}", file=str(value), hint="media must lie inside the catalogue's folder")
    return full


def load_bytes(source: bytes | str | Path, limit: int) -> bytes:
    """The bytes of ``source``; missing, special, empty and oversized files are refused by name.

    Raises:
        FeatureError: with the reason.
    """
    if isinstance(source, bytes):
        if not source:
            raise FeatureError("empty (0 bytes)")
        if len(source) > limit:
            raise FeatureError(f"{len(source):,} bytes, more than the limit of {limit:,}")
        return source
    try:
        found = Path(source).stat()
        if not stat.S_ISREG(found.st_mode):
            raise FeatureError("not a regular file", file=source)
        if found.st_size > limit:
            raise FeatureError(f"{found.st_size:,} bytes, more than the limit of {limit:,}", file=source)
        with open(source, "rb") as handle:
            data = handle.read(limit + 1)
    except FileNotFoundError as error:
        raise FeatureError("no such file", file=source) from error
    except (OSError, ValueError) as error:
        raise FeatureError(f"cannot be read ({_why(error)})", file=str(source)[:200]) from error
    if not data:
        raise FeatureError("empty (0 bytes)", file=source)
    if len(data) > limit:
        raise FeatureError(f"more than the limit of {limit:,} bytes", file=source)
    return data


def named(source: object) -> str | None:
    """The file to name in an error; None for bytes."""
    return None if isinstance(source, bytes) else str(source)


def expect(data: bytes, accepted: Sequence[str], source: object, what: str) -> str:
    """The sniffed format, which must be one of ``accepted``."""
    found = sniff(data)
    if found is not None and found in accepted:
        return found
    seen = f"content is {found}" if found else "unknown content"
    raise FeatureError(f"not a readable {what}: {seen}", file=named(source), hint=f"accepted: {', '.join(accepted)}")


def _why(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
