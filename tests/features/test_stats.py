"""Descriptors of pictures, sound and video that need no download."""

import io
import json

import numpy as np
import pytest
from bad_images import picture, saved
from PIL import Image, ImageFilter
from test_media import _video, _wav

from palate.core.errors import ArtefactError, ConfigError
from palate.features.encoders.image_stats import ImageStats
from palate.features.encoders.logmel import LogMel, log_mel, mel_filters
from palate.features.encoders.make import make_encoder
from palate.features.encoders.video_stats import VideoStats
from palate.features.saved import load_encoder, save_encoder


def _stripes(angle, colour=(200, 60, 40)):
    y, x = np.mgrid[:120, :120]
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) / 4) * 0.3 + 0.7
    return Image.fromarray((wave[..., None] * colour).astype(np.uint8))


def _png(image):
    return saved(image, "PNG")


def test_pictures_that_look_alike_are_near():
    encoder = ImageStats()
    base = _stripes(0.0)
    views = [base, base.filter(ImageFilter.GaussianBlur(0.7)), _stripes(np.pi / 2), _stripes(0.0, (40, 60, 200))]
    found = encoder.encode([_png(view) for view in views]).values.astype(np.float64)
    far = np.linalg.norm(found - found[0], axis=1)
    assert far[1] < 0.5 * far[2] and far[1] < 0.5 * far[3]
    assert found.shape == (4, encoder.dim) and np.abs(found).max() < 10


def test_picture_batch_jpeg_and_identity():
    encoder = ImageStats()
    data = [
        _png(picture()),
        None,
        saved(picture().resize((640, 480)), "JPEG", quality=95),
        _png(Image.new("L", (1, 1), 9)),
    ]
    found = encoder.encode(data)
    assert found.present.tolist() == [True, False, True, True]
    for row in (0, 2, 3):
        np.testing.assert_array_equal(encoder.encode([data[row]]).values[0], found.values[row])
    near, far = (np.linalg.norm(found.values[0] - found.values[row]) for row in (2, 3))
    assert near < 0.3 * far
    assert encoder.identity == ImageStats().identity


def test_mel_bands_find_the_tone():
    time = np.arange(16_000) / 16_000
    centres = np.linspace(0, 8000, 257)[mel_filters(40).argmax(0)]
    for frequency in (300.0, 1000.0, 3000.0):
        bands = log_mel(np.sin(2 * np.pi * frequency * time).astype(np.float32), 40).mean(0)
        assert abs(centres[bands.argmax()] - frequency) < 0.15 * frequency + 40
    assert (log_mel(np.zeros(5, np.float32), 40) == -8).all()


def test_sound_statistics():
    encoder = LogMel(bands=32)
    rate, time = 8000, np.arange(8000) / 8000
    steady = 0.5 * np.sin(2 * np.pi * 440 * time)
    clips = [
        _wav(steady),
        _wav(steady * (np.sin(2 * np.pi * 4 * time) > 0)),
        _wav(steady[:100]),
        None,
        _wav(np.zeros(999)),
    ]
    found = encoder.encode(clips)
    assert found.present.tolist() == [True, True, True, False, True] and found.values.shape == (5, 128)
    assert found.values[1, 32:64].mean() > 3 * found.values[0, 32:64].mean()
    for row in (0, 1, 2, 4):
        np.testing.assert_array_equal(encoder.encode([clips[row]]).values[0], found.values[row])
    long = _wav(np.tile(steady, 4), rate)
    cut = LogMel(32, seconds=1.0).encode([long, _wav(steady)]).values
    np.testing.assert_allclose(cut[0], cut[1], atol=1e-3)
    with pytest.raises(ConfigError):
        LogMel(bands=2)


def test_video_statistics_see_motion(tmp_path):
    moving, still = _video(tmp_path / "a.mp4"), _video(tmp_path / "b.mp4", frames=1)
    encoder = VideoStats(frames=4)
    found = encoder.encode([moving, still, None])
    assert found.present.tolist() == [True, True, False] and found.values.shape == (3, encoder.dim)
    assert found.values[0, -32:-16].min() > 0.2 and not found.values[1, -32:].any()
    np.testing.assert_array_equal(encoder.encode([still]).values[0], found.values[1])
    assert make_encoder("video_stats?frames=4", "video").identity == encoder.identity != VideoStats().identity


def test_saved_encoder_folders_are_checked(tmp_path):
    save_encoder(tmp_path / "e", LogMel(32))
    facts = json.loads((tmp_path / "e" / "encoder.json").read_text())
    for change, reason in (
        ({"format": 2}, "newer format"),
        ({"format": None}, "no format"),
        ({"identity": "logmel@0-x"}, "other vectors"),
        ({"options": {"colour": 1}}, "incomplete"),
        ({"options": None}, "incomplete"),
    ):
        (tmp_path / "e" / "encoder.json").write_text(json.dumps(facts | change))
        with pytest.raises(ArtefactError, match=reason):
            load_encoder(tmp_path / "e")
    (tmp_path / "e" / "encoder.json").write_text("{")
    with pytest.raises(ArtefactError, match="JSON"):
        load_encoder(tmp_path / "e")
    with pytest.raises(ArtefactError, match="not an encoder folder"):
        load_encoder(tmp_path / "none")


def test_state_is_never_a_pickle(tmp_path):
    encoder = make_encoder("tfidf?min_df=1", "text")
    save_encoder(tmp_path / "e", encoder.fit(["a red lamp", "red chair"]))
    (tmp_path / "e" / "state.safetensors").write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    with pytest.raises(ArtefactError, match="safetensors"):
        load_encoder(tmp_path / "e")


def test_bytes_and_file_give_the_same(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(_png(picture()))
    buffer = io.BytesIO(path.read_bytes())
    found = ImageStats().encode([path, buffer.getvalue(), str(path)]).values
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
