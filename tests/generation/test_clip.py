"""Clips: real films of the right length and size, that move and change scenes."""

import io
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, ImageDraw

from palate.contracts import GenerationRequest
from palate.core.errors import UnsupportedError
from palate.generation.backends import clip
from palate.generation.registries import video_backends
from palate.models.generate.clip_video import Clip

av = pytest.importorskip("av")


def request(**more):
    image = Image.new("RGB", (200, 160), (240, 240, 240))
    ImageDraw.Draw(image).ellipse((110, 40, 190, 120), (200, 40, 30))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    item = {"id": "a", "title": "Coat", "material": "wool", "colour": "red"}
    settings = {"images": {"a": buffer.getvalue()}, "size": (161, 121)} | more
    return GenerationRequest("video", item, **settings)


def frames(data):
    with av.open(io.BytesIO(data)) as film:
        stream = film.streams.video[0]
        return [frame.to_ndarray(format="rgb24").astype(np.float64) for frame in film.decode(stream)], stream


def test_a_clip_is_a_real_film():
    content = Clip().generate([request()], seed=1)[0]
    shown, stream = frames(content.video)
    assert (stream.width, stream.height) == (160, 120), "even sides"
    assert 3 <= len(shown) / clip.RATE <= 6
    assert content.evidence and content.provenance["backend"] == "clip" and content.text is None
    scene = len(shown) // 3
    assert np.abs(shown[0] - shown[scene // 2]).mean() > 0.3, "the camera moves"
    assert np.abs(shown[4] - shown[-4]).mean() > 5, "scenes change"
    steps = [np.abs(one - other).mean() for one, other in pairwise(shown)]
    assert max(steps) < 0.5 * np.abs(shown[4] - shown[-4]).mean(), "by fading, not at once"
    assert content.video == Clip().generate([request()], seed=1)[0].video


def test_without_a_picture_and_without_an_encoder(monkeypatch):
    content = Clip().generate([request(images={})])[0]
    assert frames(content.video)[0] and content.provenance["fallback"] == "no picture"
    monkeypatch.setattr(clip, "CODECS", (("libnothing", "mp4"),))
    with pytest.raises(UnsupportedError, match="no encoder"):
        Clip().generate([request()])


def test_other_backends_have_their_place(monkeypatch):
    class Films:
        name, version = "films", "7"

        def film(self, requests, *, seed):
            return [f"film {seed}".encode() for _ in requests]

    monkeypatch.setitem(video_backends._known, "films", lambda argument: Films())
    content = Clip(backend="films:folder").generate([request()], seed=3)[0]
    assert content.video == b"film 3" and content.provenance["version"] == "7"
    with pytest.raises(UnsupportedError):
        Clip().generate([GenerationRequest("title", {"id": "a"})])
