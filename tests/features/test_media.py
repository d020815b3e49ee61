import io
import json
import os
import re
import resource
import struct
import time
import wave

import numpy as np
import pytest
from bad_images import corpus, picture, saved, with_exif
from PIL import Image

from palate.core.errors import FeatureError
from palate.features.media import Limits, media_resolver, open_image, probe_media, read_audio, read_video, sniff


def _survey(cases):
    """What happens to each picture, in how many seconds of CPU, and the rise of peak memory over all, in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    lines = []
    for name, data, expected in cases:
        start, wrong = time.process_time(), None
        try:
            found = open_image(data)
            if isinstance(expected, str):
                wrong = None if re.search(expected, "") else f"accepted, expected {expected}"
            elif found.mode != "RGB" or not expected(found):
                wrong = f"{found.mode} {found.size} is not what it shows"
        except FeatureError as error:
            if not isinstance(expected, str):
                wrong = f"refused: {error}"
            elif not re.search(expected, str(error)):
                wrong = f"reason {error} instead of {expected}"
        seconds = time.process_time() - start
        lines.append([name, wrong, seconds])
    return lines, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _in_child(function, *args):
    """Run in a forked process, so that a crash is seen and its memory is its own."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with os.fdopen(into, "w") as pipe:
                json.dump(function(*args), pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out) as pipe:
        text = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "the decoder crashed"
    return json.loads(text)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_bad_and_odd_pictures():
    cases = corpus()
    assert len(cases) >= 60
    lines, rise = _in_child(_survey, cases)
    assert [(name, wrong) for name, wrong, _ in lines if wrong] == []
    assert max(seconds for _, _, seconds in lines) < 2
    assert rise < 200


def test_exif_rotation_restores_the_scene():
    scene = np.asarray(picture(), int)
    turns = {3: 2, 6: 1, 8: 3}
    for orientation, quarters in turns.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        held = Image.fromarray(np.rot90(scene, quarters).astype(np.uint8))
        shown = open_image(saved(held, "JPEG", quality=95, subsampling=0, exif=exif.tobytes()))
        assert shown.size == (64, 48)
        assert np.abs(np.asarray(shown, int) - scene).mean() < 6
    assert open_image(with_exif(6)).size == (48, 64)


def test_near_decodes_less_and_looks_the_same():
    large = saved(picture(1600, 1200), "JPEG", quality=95)
    small = open_image(large, near=192)
    assert 192 <= min(small.size) < 600
    whole = open_image(large).resize((32, 24), Image.Resampling.BOX)
    difference = np.asarray(small.resize((32, 24), Image.Resampling.BOX), int) - np.asarray(whole, int)
    assert np.abs(difference[..., :2]).max() < 12


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_shrinking_in_strips_is_shrinking(mode):
    large = picture(4200, 700).convert(mode)
    shown = open_image(saved(large, "PNG", compress_level=1))
    assert shown.size == (2100, 350)
    np.testing.assert_array_equal(np.asarray(shown), np.asarray(large.reduce(2).convert("RGB")))


def test_limits_are_the_callers():
    data = saved(picture(), "PNG")
    for limits, reason in (
        (Limits(image_bytes=100), "limit of 100"),
        (Limits(whole_pixels=1000), "more than 1,000"),
        (Limits(side=50), "side above 50"),
    ):
        with pytest.raises(FeatureError, match=reason):
            open_image(data, limits=limits)


def test_paths_stay_inside_the_catalogue(tmp_path, monkeypatch):
    shop, secret = tmp_path / "shop", tmp_path / "secret.png"
    (shop / "pictures").mkdir(parents=True)
    inside = shop / "pictures" / "a.png"
    inside.write_bytes(saved(picture(), "PNG"))
    secret.write_bytes(saved(picture(), "PNG"))
    (shop / "way-out.png").symlink_to(secret)
    (shop / "way-out").symlink_to(tmp_path)
    (shop / "loop.png").symlink_to(shop / "loop.png")
    (shop / "alias.png").symlink_to(inside)
    resolve = media_resolver(shop)
    assert resolve("pictures/a.png").resolve() == inside.resolve()
    assert resolve(str(inside)).resolve() == inside.resolve()
    assert resolve("alias.png").resolve() == inside.resolve()
    monkeypatch.chdir(tmp_path)
    from pathlib import Path

    assert media_resolver("shop")(Path("shop/pictures/a.png")).resolve() == inside.resolve()
    for value in (
        str(secret), "../secret.png", "pictures/../../secret.png", "way-out.png", "way-out/secret.png", "/etc/passwd",
        "loop.png", "a\0b.png",
    ):  # fmt: skip
        with pytest.raises(FeatureError):
            open_image(resolve(value))
    with pytest.raises(FeatureError, match="no such file"):
        open_image(resolve("missing.png"))
    with pytest.raises(FeatureError, match="not a regular file"):
        open_image(resolve("pictures"))
    with pytest.raises(FeatureError):
        open_image(resolve("x" * 5000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_named_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(FeatureError, match="not a regular file"):
        open_image(tmp_path / "pipe.png")


def _wav(samples, rate=8000, width=2, channels=1):
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        scale = {1: 127, 2: 2**15 - 1, 3: 2**23 - 1, 4: 2**31 - 1}[width]
        whole = np.round(samples * scale).astype(np.int64)
        if width == 1:
            file.writeframes((whole + 128).astype(np.uint8).tobytes())
        elif width == 3:
            file.writeframes(whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes())
        else:
            file.writeframes(whole.astype(f"<i{width}").tobytes())
    return buffer.getvalue()


@pytest.mark.parametrize("width", [1, 2, 3, 4])
@pytest.mark.parametrize("library", [True, False])
def test_wav_with_and_without_soundfile(width, library, monkeypatch):
    if library:
        pytest.importorskip("soundfile")
    else:
        monkeypatch.setattr("palate.features.media.audio.find_spec", lambda name: None)
    tone = 0.5 * np.sin(np.arange(4000) / 9)
    stereo = np.stack([tone, np.zeros_like(tone)], 1).ravel()
    tolerance = 2.0 / 2 ** (8 * width - 1) + 1e-6
    found = read_audio(_wav(tone, width=width), 8000)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, tone, atol=max(tolerance, 1e-4))
    np.testing.assert_allclose(
        read_audio(_wav(stereo, width=width, channels=2), 8000), tone / 2, atol=max(tolerance, 1e-4)
    )
    assert len(read_audio(_wav(tone, width=width), 8000, seconds=0.1)) == 800
    up = read_audio(_wav(tone, width=width), 16000)
    assert abs(len(up) - 8000) <= 2
    np.testing.assert_allclose(up[200:-200:2][:3000], tone[100:3100], atol=max(tolerance, 0.02))


def test_bad_sound_has_reasons():
    good = _wav(np.zeros(100))
    cases = {
        b"": "empty",
        b"RIFF": "not a readable sound",
        good[:20]: "damaged WAV",
        good[:44]: "without samples|damaged",
        good[:24] + struct.pack("<I", 0) + good[28:]: "sampling rate|damaged",
        b"fLaC" + bytes(100): "damaged FLAC",
        b"OggS" + bytes(100): "damaged OGG",
        b"#EXTM3U\nfile:///etc/passwd": "M3U",
    }
    pytest.importorskip("soundfile")
    for data, reason in cases.items():
        with pytest.raises(FeatureError, match=reason):
            read_audio(data, 8000)
    with pytest.raises(FeatureError, match="limit of 10"):
        read_audio(good, 8000, limits=Limits(audio_bytes=10))


def _video(path, frames=20, size=48, rate=10):
    av = pytest.importorskip("av")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width = stream.height = size
        for i in range(frames):
            plane = np.full((size, size, 3), i * 240 // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(plane, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
@pytest.mark.parametrize("seconds", [2, 40])
def test_video_frames_are_evenly_spaced(tmp_path, suffix, seconds):
    path = _video(tmp_path / f"a.{suffix}", frames=60, rate=60 // seconds if seconds == 2 else 1, size=48)
    if seconds == 40:
        path = _video(tmp_path / f"b.{suffix}", frames=40, rate=1)
    levels = [np.asarray(frame).mean() for frame in read_video(path, 5)]
    assert len(levels) == 5
    np.testing.assert_allclose(levels, [24, 72, 120, 168, 216], atol=16)
    assert len(read_video(path.read_bytes(), 500)) <= 60


def test_bad_video_has_reasons(tmp_path):
    data = _video(tmp_path / "a.mp4").read_bytes()
    for bad, reason in (
        (b"", "empty"),
        (data[:40], "damaged MP4"),
        (data[: len(data) // 2], "damaged MP4|without frames"),
        (b"\x1aE\xdf\xa3" + bytes(200), "damaged MATROSKA"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n/etc/passwd", "M3U"),
        (b"ffconcat version 1.0\nfile /etc/passwd", "unknown content"),
        (saved(picture(), "PNG"), "PNG"),
    ):
        with pytest.raises(FeatureError, match=reason):
            read_video(bad, 3)
    with pytest.raises(FeatureError, match="above 100"):
        read_video(data, 3, limits=Limits(pixels=100))


def test_probe_says_why(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"<svg/>")
    (tmp_path / "b.jpg").write_bytes(saved(picture(), "JPEG"))
    assert "SVG" in probe_media("a.jpg", "image", tmp_path)
    assert probe_media("b.jpg", "image", tmp_path) is None
    assert "no such file" in probe_media(tmp_path / "c.jpg", "image")
    assert "not dict" in probe_media({}, "image")
    assert probe_media(None, "image") is None and probe_media("words", "text") is None
    assert probe_media(_wav(np.zeros(1000)), "audio") is None


def test_content_is_sniffed():
    assert sniff(b"RIFF\0\0\0\0WAVEfmt ") == "WAV" and sniff(b"XXXX\0\0\0\0WAVEfmt ") is None
    assert sniff(b"\0\0\0\x18ftypisom") == "MP4" and sniff(b"") is None


@pytest.mark.parametrize("rate", [8000, 11025, 12000, 16000, 22050, 44100])
def test_mp3_of_every_rate_is_read(rate):
    soundfile = pytest.importorskip("soundfile")
    tone = (0.5 * np.sin(np.arange(rate) * 2 * np.pi * 440 / rate)).astype(np.float32)
    buffer = io.BytesIO()
    soundfile.write(buffer, tone, rate, format="MP3")
    found = read_audio(buffer.getvalue(), 16_000)
    assert abs(len(found) - 16_000) <= 2
    assert np.abs(np.fft.rfft(found, 16_000)).argmax() == 440


def test_frames_of_mp3_are_told_from_other_bytes():
    assert all(sniff(bytes([0xFF, second, 0x90, 0xC4])) == "MP3" for second in (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2))
    assert not any(sniff(bytes([0xFF, second, 0x90, 0xC4])) for second in (0xE0, 0xE8, 0xF0, 0xF8, 0xFF))


@pytest.mark.parametrize("weights", [(1, -1), (1, -0.9), (0.4, -0.4, 0), (1, 1, -2.02)])
def test_channels_that_cancel_each_other_out_are_not_silence(weights):
    tone = 0.4 * np.sin(np.arange(4000) / 9)
    channels = np.stack([weight * tone for weight in weights], 1)
    found = read_audio(_wav(channels.ravel(), channels=len(weights)), 8000)
    np.testing.assert_allclose(np.abs(found), np.abs(tone) * np.abs(weights).max(), atol=1e-3)
