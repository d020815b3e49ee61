"""Clips without a model: the item's picture, slowly moving, cards of its facts, cross-fades; written by PyAV."""

from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from PIL import Image

from palate.contracts import GenerationRequest
from palate.core.errors import UnsupportedError
from palate.generation.compose.brief import Brief, brief_of
from palate.generation.compose.creative import FORMATS, compose
from palate.generation.compose.saliency import find_subject
from palate.generation.compose.words import Copy
from palate.generation.registries import video_backends

CODECS = (("libx264", "mp4"), ("libopenh264", "mp4"), ("libvpx-vp9", "webm"), ("mpeg4", "mp4"))
"""Encoders, the best first, with their containers."""
RATE, SCENE_SECONDS, FADE_SECONDS = 24, 1.9, 0.5
ZOOM = 0.1
"""How much a scene is enlarged from its first to its last frame."""
SHAPES = {"banner": (640, 336), "card": (540, 540), "portrait": (540, 676), "story": (540, 960)}
"""Width and height of a clip by format, even numbers."""


class ClipBackend:
    """Short clips of pictures and captions."""

    name = "clip"
    version = "1"

    def film(self, requests: Sequence[GenerationRequest], *, seed: int) -> list[bytes]:
        """One clip a request.

        Args:
            requests: of kind ``video``.
            seed: decides where the camera moves.

        Raises:
            UnsupportedError: where PyAV or an encoder is missing.
        """
        return [encode(scenes(brief_of(one), clip_size(one)), seed) for one in requests]


video_backends.register("clip")(lambda argument: ClipBackend())


def clip_size(request: GenerationRequest) -> tuple[int, int]:
    """Width and height, both even, as encoders need them.

    Args:
        request: its size, else the one of its format.
    """
    width, height = request.size or SHAPES.get(str(request.options.get("format")), SHAPES["banner"])
    longest = max(FORMATS["story"])
    return max(64, min(width, longest)) // 2 * 2, max(64, min(height, longest)) // 2 * 2


def scenes(brief: Brief, size: tuple[int, int]) -> list[tuple[Image.Image, tuple[float, float]]]:
    """Two or three scenes: picture with title, and what is in the user's taste; each with where the camera goes.

    Args:
        brief: words and picture.
        size: width and height, in pixels.
    """
    copy, made = brief.copy, []
    texts = [Copy(copy.headline, copy.tag)]
    if copy.detail:
        texts.append(Copy(copy.detail, copy.headline))
    for text in texts:
        picture = compose(brief.picture, text, size, liked=brief.liked, category=brief.category)
        made.append((picture.image, (0.5, 0.5)))
    if brief.picture is not None:
        subject = find_subject(brief.picture)
        left, top, right, bottom = subject.box
        shown = compose(brief.picture, Copy(""), size, liked=brief.liked, category=brief.category, only="bleed")
        made.insert(0, (shown.image, ((left + right) / 2, (top + bottom) / 2)))
    return made


def encode(parts: Sequence[tuple[Image.Image, tuple[float, float]]], seed: int) -> bytes:
    """A clip of scenes with cross-fades between them.

    Args:
        parts: pictures of one even size, and where the camera goes in each.
        seed: decides which scenes are enlarged and which reduced.

    Returns:
        MP4 or WebM bytes.

    Raises:
        UnsupportedError: where PyAV or an encoder is missing.
    """
    av = _av()
    size, fade = parts[0][0].size, round(FADE_SECONDS * RATE)
    codec, container = _codec(av)
    length = round(SCENE_SECONDS * RATE)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, RATE)
        if codec == "libx264":
            # one thread: the same bytes on any machine
            stream.options = {"crf": "23", "preset": "veryfast", "threads": "1"}
        total = len(parts) * (length - fade) + fade
        for at in range(total):
            first = min(at // (length - fade), len(parts) - 1)
            place = at - first * (length - fade)
            frame = _moved(parts[first], place / length, (seed + first) % 2 == 0)
            if place < fade and first:
                before = _moved(parts[first - 1], (place + length - fade) / length, (seed + first - 1) % 2 == 0)
                frame = Image.blend(before, frame, (place + 1) / (fade + 1))
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(frame), format="rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()


def _moved(part: tuple[Image.Image, tuple[float, float]], share: float, nearer: bool) -> Image.Image:
    """A frame: the camera moves towards a place, or away from it."""
    image, (x, y) = part
    width, height = image.size
    zoom = 1 + ZOOM * (share if nearer else 1 - share)
    wide, high = width / zoom, height / zoom
    left, top = (width - wide) * min(max(x, 0), 1), (height - high) * min(max(y, 0), 1)
    return image.resize(image.size, Image.Resampling.BILINEAR, box=(left, top, left + wide, top + high))


def _av() -> Any:
    try:
        import av
    except ImportError as error:
        raise UnsupportedError("clips need PyAV", hint="pip install 'palate[generate]'") from error
    return av


def _codec(av: Any) -> tuple[str, str]:
    for codec, container in CODECS:
        if codec in av.codecs_available:
            return codec, container
    raise UnsupportedError(
        "this PyAV has no encoder for clips", hint=f"one of {', '.join(codec for codec, _ in CODECS)}"
    )
