"""Media files: where they may lie, how large they may be, and which format their content has."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from palate.core.encoder import Raw
from palate.core.errors import DataError, FeatureError
from palate.data.media import MediaRoot

VERSION = 1
"""Part of the identity of every media encoder: raise it when decoding changes what comes out."""
_OBJECT = re.compile(r"\s*<[^<>]* at 0x[0-9a-fA-F]+>")
"""An object in memory, as Python shows it."""


@dataclass(frozen=True)
class Limits:
    """Limits of decoding; beyond them a file is refused before its pixels or samples are unpacked.

    Attributes:
        image_bytes: size of a picture file.
        audio_bytes: size of a sound file.
        video_bytes: size of a video file.
        pixels: width x height by the header, of a JPEG picture or a video frame.
        whole_pixels: the same for other pictures, which cannot be decoded at a fraction of their size.
        side: longest side of a picture by its header.
        seconds: seconds of a sound that are read.
        frames: video frames that are decoded.
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
    # MPEG 1, 2 and 2.5, each with and without a checksum
    *((bytes([0xFF, second]), 0, "MP3") for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)),
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
    """The format by content, for example ``"JPEG"``; None if the first bytes are of no known format.

    Args:
        data: the file, or its first bytes. The name of the file is not looked at.
    """
    for magic, offset, name in _MAGIC:
        if data.startswith(magic, offset) and (offset != 8 or data.startswith(b"RIFF")):
            return name
    head = data[:512].lower()
    return next((name for mark, name in _TEXTS if mark in head), None)


def media_resolver(root: str | Path | None) -> Callable[[str | Path], Path]:
    """A function from what a catalogue names to a path inside its folder.

    Args:
        root: folder of the catalogue; None trusts paths as they are (written by the caller's own code).

    Returns:
        A function that raises :class:`FeatureError` for a path that leaves the folder, links followed, or that cannot
        be a path. The file need not exist.
    """
    check = MediaRoot(None if root is None else Path(root))

    def resolve(value: str | Path) -> Path:
        try:
            # a relative root that a caller has already joined must not be joined twice
            joined = root is not None and Path(value).is_relative_to(root) and not (Path(root) / value).exists()
            return check(os.path.abspath(value) if joined else str(value))
        except DataError as error:
            raise FeatureError(error.message, file=str(value)[:200], hint=error.hint) from error
        except (OSError, ValueError) as error:
            raise FeatureError(f"an unusable path ({_reason(error)})", file=str(value)[:200]) from error

    return resolve


def media_source(raw: Raw, modality: str) -> bytes | Path:
    """Raw media as bytes or path; the feature store has checked that the path lies in the catalogue's folder.

    Args:
        raw: bytes or a path.
        modality: the word for it in errors, for example ``an image``.

    Raises:
        FeatureError: if it is neither.
    """
    if isinstance(raw, bytes | Path):
        return raw
    if isinstance(raw, str):
        return Path(raw)
    raise FeatureError(f"{modality} expected as a path or bytes, not {type(raw).__name__}")


def load_bytes(source: bytes | str | Path, limit: int) -> bytes:
    """The bytes of a file.

    Args:
        source: bytes, or a path that is already resolved.
        limit: bytes at most.

    Raises:
        FeatureError: for missing, special, empty and oversized files.
    """
    if isinstance(source, bytes):
        if not source:
            raise FeatureError("empty (0 bytes)")
        if len(source) > limit:
            raise FeatureError(f"{len(source):,} bytes, more than the limit of {limit:,}")
        return source
    try:
        status = Path(source).stat()
        if not stat.S_ISREG(status.st_mode):
            raise FeatureError("not a regular file", file=source)
        if status.st_size > limit:
            raise FeatureError(f"{status.st_size:,} bytes, more than the limit of {limit:,}", file=source)
        with open(source, "rb") as handle:
            data = handle.read(limit + 1)
    except FileNotFoundError as error:
        raise FeatureError("no such file", file=source) from error
    except (OSError, ValueError) as error:
        raise FeatureError(f"cannot be read ({_reason(error)})", file=str(source)[:200]) from error
    if not data:
        raise FeatureError("empty (0 bytes)", file=source)
    if len(data) > limit:
        raise FeatureError(f"more than the limit of {limit:,} bytes", file=source)
    return data


def named(source: object) -> str | None:
    """The file to name in an error; None for bytes."""
    return None if isinstance(source, bytes) else str(source)


def reason_of(error: BaseException) -> str:
    """What a decoder says, in a few words, without addresses of objects in memory.

    Args:
        error: the decoder's error.
    """
    text = " ".join(_OBJECT.sub("", str(error)).split()) or type(error).__name__
    return text[:200]


def expect(data: bytes, accepted: Sequence[str], source: object, medium: str) -> str:
    """The format by content, which must be an accepted one.

    Args:
        data: the file.
        accepted: formats.
        source: path or bytes, for errors.
        medium: ``picture``, ``sound`` or ``video``, for errors.

    Raises:
        FeatureError: for any other format.
    """
    format_found = sniff(data)
    if format_found is not None and format_found in accepted:
        return format_found
    content = f"content is {format_found}" if format_found else "unknown content"
    hint = f"accepted: {', '.join(accepted)}"
    raise FeatureError(f"not a readable {medium}: {content}", file=named(source), hint=hint)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
