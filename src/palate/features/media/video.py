"""Decode video: untrusted bytes to a few evenly spaced frames, by PyAV."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from PIL import Image

from palate.core.errors import FeatureError, MissingDependencyError
from palate.features.media.image import open_image
from palate.features.media.source import LIMITS, Limits, expect, load_bytes, named, reason_of

FORMATS = ("MP4", "MATROSKA", "AVI", "GIF")
# the demuxer is named, never probed, so that no playlist or other format that opens further files is read
_DEMUXERS = {"MP4": "mov", "MATROSKA": "matroska", "AVI": "avi", "GIF": "gif"}
_SEEK_FROM = 30.0


def read_video(
    source: bytes | str | Path, n_frames: int, *, side: int | None = None, limits: Limits = LIMITS
) -> list[Image.Image]:
    """Decode up to ``n_frames`` RGB frames, evenly spaced over the video (fewer if it has fewer).

    MP4/MOV, Matroska/WebM, AVI and GIF by content. Videos above half a minute are sampled by seeking, shorter ones
    are decoded through.

    Args:
        source: bytes, or a path that is already resolved.
        n_frames: at most.
        side: shrink frames so that the longer side is at most this.
        limits: beyond which a file is refused.

    Raises:
        FeatureError: with the reason and, for paths, the file.
        MissingDependencyError: if PyAV is not installed.
    """
    if find_spec("av") is None:
        raise MissingDependencyError("av", "encoders")
    import av

    if n_frames < 1:
        raise FeatureError(f"n_frames must be at least 1, not {n_frames}")
    data = load_bytes(source, limits.video_bytes)
    kind = expect(data, FORMATS, source, "video")
    if kind == "GIF":
        # Pillow's header check comes first: PyAV would allocate the canvas that a GIF header claims.
        open_image(data, limits=limits)
    try:
        with av.open(io.BytesIO(data), format=_DEMUXERS[kind]) as container:
            if not container.streams.video:
                raise FeatureError("no video stream", file=named(source))
            stream = container.streams.video[0]
            _check_size(stream.codec_context, limits, source)
            length = float(container.duration or 0) / av.time_base
            if length > _SEEK_FROM:
                frames = _by_seeking(container, stream, length, n_frames)
                pictures = [_picture(frame, side, limits, source) for frame in frames]
            else:
                pictures = _decoded_through(container, stream, n_frames, side, limits, source)
    except FeatureError:
        raise
    except (av.FFmpegError, ValueError, OSError, EOFError, MemoryError, RuntimeError) as error:
        raise FeatureError(f"a damaged {kind} video ({reason_of(error)})", file=named(source)) from error
    if not pictures:
        raise FeatureError(f"a {kind} video without frames", file=named(source))
    return pictures


def _check_size(thing: Any, limits: Limits, source: object) -> None:
    if (thing.width or 0) * (thing.height or 0) > limits.pixels:
        raise FeatureError(
            f"frames of {thing.width} x {thing.height} pixels, above {limits.pixels:,}", file=named(source)
        )


def _by_seeking(container: Any, stream: Any, length: float, n_frames: int) -> Iterator[Any]:
    start = stream.start_time or 0
    last = None
    for i in range(n_frames):
        target = start + int((i + 0.5) / n_frames * length / stream.time_base)
        container.seek(target, stream=stream)
        for frame in container.decode(stream):
            if frame.pts is None or frame.pts >= target:
                if frame.pts is None or frame.pts != last:
                    yield frame
                last = frame.pts
                break


def _decoded_through(
    container: Any, stream: Any, n_frames: int, side: int | None, limits: Limits, source: object
) -> list[Image.Image]:
    """Even sampling of a stream of unknown length: keep every ``stride``-th frame, double the stride when full."""
    pictures: list[Image.Image] = []
    stride = 1
    for number, frame in enumerate(container.decode(stream)):
        if number >= limits.frames:
            break
        if number % stride == 0:
            pictures.append(_picture(frame, side, limits, source))
            if len(pictures) >= 4 * n_frames:
                pictures, stride = pictures[::2], stride * 2
    if len(pictures) <= n_frames:
        return pictures
    return [pictures[int((i + 0.5) * len(pictures) / n_frames)] for i in range(n_frames)]


def _picture(frame: Any, side: int | None, limits: Limits, source: object) -> Image.Image:
    _check_size(frame, limits, source)
    picture: Image.Image = frame.to_image()
    if side is not None and max(picture.size) > side:
        picture.thumbnail((side, side), Image.Resampling.BILINEAR)
    return picture
