import json
import os
import threading
from pathlib import Path

import crash_harness
import numpy as np
import pytest
from bad_images import picture, saved

from palate.core.content import Features
from palate.core.encoder import Encoder
from palate.core.errors import ArtefactError, ConfigError, FeatureError
from palate.core.given import given
from palate.features.encoders.hash import HashedNgrams
from palate.features.encoders.image_stats import ImageStats
from palate.features.segment import Segment
from palate.features.store import FeatureStore


class Counting(HashedNgrams):
    """Remembers what it was asked to encode."""

    def __init__(self, dim=64):
        super().__init__(dim)
        self.asked = []

    def embed(self, contents):
        self.asked += contents
        return super().embed(contents)


class Letters(Encoder):
    """Ragged tokens, one a letter; or a map of the counts of letters."""

    name, modality = "letters", "text"

    def __init__(self, kind="tokens"):
        self.kind = kind

    @property
    def dim(self):
        return 3

    def encode(self, batch):
        present = np.array([raw is not None for raw in batch])
        if self.kind == "map":
            values = np.stack([np.full((2, 3, 4), len(raw or ""), np.float32) for raw in batch])
            return Features(values * present[:, None, None, None], present, "map")
        rows = [np.array([[ord(c), ord(c) % 7, 1] for c in raw or ""], np.float32).reshape(-1, 3) for raw in batch]
        return Features(np.concatenate(rows), present, "tokens", np.array([len(row) for row in rows]))


TEXTS = ["a red lamp", None, "a blue chair", "a red lamp", "table", None, "old lamp of wood"]


@pytest.mark.parametrize("place", ["memory", "folder"])
def test_each_content_is_encoded_once(tmp_path, place):
    folder = tmp_path / "store" if place == "folder" else None
    store, encoder = FeatureStore(folder), Counting()
    first = store.encode(encoder, TEXTS, batch_size=2)
    assert len(encoder.asked) == 4
    assert first.present.tolist() == [True, False, True, True, True, False, True] and not first.values[1].any()
    np.testing.assert_array_equal(first.values[first.present], HashedNgrams(64).encode([t for t in TEXTS if t]).values)
    if folder:
        store = FeatureStore(folder)
    more = store.encode(encoder, ["new thing", *TEXTS[::-1]], batch_size=3)
    assert len(encoder.asked) == 5
    np.testing.assert_array_equal(more.values[1:], first.values[::-1])
    assert more.identity == encoder.identity == first.identity


def test_a_complete_segment_is_mapped_and_a_large_result_leaves_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("palate.features.segment.MIN_MAPPED", 0)
    store = FeatureStore(tmp_path)
    texts = [f"text {i}" for i in range(50)]
    mapped = store.encode(HashedNgrams(64), texts)
    assert isinstance(mapped.values, np.memmap) and not mapped.values.flags.writeable
    large = FeatureStore(tmp_path, ram=1000).encode(HashedNgrams(64), texts[::-1])
    assert isinstance(large.values, np.memmap)
    np.testing.assert_array_equal(large.values, mapped.values[::-1])
    assert sorted(file.suffix for file in next(tmp_path.iterdir()).iterdir()) == ["", ".json", ".safetensors"]


@pytest.mark.parametrize("kind", ["tokens", "map"])
@pytest.mark.parametrize("place", ["memory", "folder"])
def test_ragged_tokens_and_maps(tmp_path, kind, place):
    store = FeatureStore(tmp_path if place == "folder" else None)
    encoder = Letters(kind)
    store.encode(encoder, ["abc", "z"], batch_size=1)
    found = store.encode(encoder, ["hello", None, "z", "", "abc", "z"], batch_size=4)
    direct = encoder.encode(["hello", None, "z", "", "abc", "z"])
    np.testing.assert_array_equal(found.values, direct.values)
    np.testing.assert_array_equal(found.present, direct.present)
    if kind == "tokens":
        np.testing.assert_array_equal(found.lengths, direct.lengths)
        assert found.take(np.array([4])).values.shape == (3, 3)


def test_float16_is_its_own_entry(tmp_path):
    half = FeatureStore(tmp_path, "float16").encode(HashedNgrams(64), TEXTS)
    full = FeatureStore(tmp_path).encode(HashedNgrams(64), TEXTS)
    assert half.values.dtype == np.float16 and full.values.dtype == np.float32 and half.identity != full.identity
    np.testing.assert_allclose(half.values, full.values, atol=1e-3)
    with pytest.raises(ConfigError):
        FeatureStore(tmp_path, "int8")


def test_other_settings_are_other_entries(tmp_path):
    store = FeatureStore(tmp_path)
    assert store.encode(HashedNgrams(64), TEXTS).dim == 64 and store.encode(HashedNgrams(32), TEXTS).dim == 32
    assert len(list(tmp_path.iterdir())) == 2


def test_bad_content_is_absent_with_a_reason_and_not_tried_again(tmp_path):
    (tmp_path / "shop").mkdir()
    good, bad = tmp_path / "shop" / "a.png", tmp_path / "shop" / "b.png"
    good.write_bytes(saved(picture(), "PNG"))
    bad.write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    raws = [good, bad, None, tmp_path / "shop" / "gone.png", good.read_bytes(), "../a.png", bad, Path("a.png"), 7]
    for _ in range(2):
        failures = []
        found = FeatureStore(tmp_path / "store").encode(ImageStats(), raws, root=tmp_path / "shop", failures=failures)
        assert found.present.tolist() == [True, False, False, False, True, False, False, True, False]
        np.testing.assert_array_equal(found.values[0], found.values[4])
        np.testing.assert_array_equal(found.values[0], found.values[7])
        assert [failure.row for failure in failures] == [1, 3, 5, 6, 8]
        reasons = [failure.reason for failure in failures]
        for reason, part in zip(
            reasons, ("damaged PNG", "no such file", "leaves the data folder", "damaged PNG", "int"), strict=True
        ):
            assert part in reason
    with pytest.raises(FeatureError, match=r"row 2.*damaged PNG"):
        FeatureStore(None).encode(ImageStats(), raws[:3], root=tmp_path / "shop", on_bad="error")


def test_only_absent_content():
    found = FeatureStore(None).encode(HashedNgrams(64), [None, None])
    assert found.values.shape == (2, 64) and not found.present.any()
    assert FeatureStore(None).encode(HashedNgrams(64), []).values.shape == (0, 64)


def test_every_damage_is_found_and_repaired(tmp_path):
    texts = [f"text {i}" for i in range(6)]
    expected = FeatureStore(tmp_path).encode(HashedNgrams(16), texts)
    expected = np.array(expected.values)
    (path,) = tmp_path.rglob("*.safetensors")
    sound = path.read_bytes()
    draw = np.random.default_rng(0)
    damaged = [sound[: int(cut)] for cut in np.linspace(0, len(sound) - 1, 64)]
    for position in draw.integers(0, len(sound), 300):
        flipped = bytearray(sound)
        flipped[position] ^= 1 << int(draw.integers(8))
        damaged.append(bytes(flipped))
    missed = 0
    for number, data in enumerate(damaged):
        path.write_bytes(data)
        try:
            segment = Segment.read(path)
            missed += not np.array_equal(segment.values, expected)
            # A flip that changes nothing that is read (a space of the header's padding) is no damage.
            assert np.array_equal(segment.values, expected), number
        except ArtefactError as error:
            assert str(path) in str(error)
    assert missed == 0
    path.write_bytes(damaged[-1][:-3])
    store = FeatureStore(tmp_path)
    repaired = store.encode(HashedNgrams(16), texts)
    np.testing.assert_array_equal(repaired.values, expected)
    assert store.damaged == [path]
    assert FeatureStore(tmp_path).encode(HashedNgrams(16), texts).present.all()
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_pickle_or_a_foreign_file_is_not_an_entry(tmp_path):
    store = FeatureStore(tmp_path)
    store.encode(HashedNgrams(16), TEXTS)
    shelf = next(tmp_path.iterdir())
    (shelf / "0.safetensors").write_bytes(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.")
    from safetensors.numpy import save_file

    save_file({"values": np.zeros((1, 16), np.float32)}, str(shelf / "1.safetensors"))
    again = FeatureStore(tmp_path)
    assert again.encode(HashedNgrams(16), TEXTS).present.sum() == 5
    assert sorted(path.name for path in again.damaged) == ["0.safetensors", "1.safetensors"]


def test_two_writers_at_once(tmp_path):
    texts = [f"text number {i}" for i in range(200)]
    out = {}

    def work(name, order):
        out[name] = FeatureStore(tmp_path).encode(HashedNgrams(64), [texts[i] for i in order], batch_size=7)

    orders = {"up": range(200), "down": range(199, -1, -1), "some": range(0, 200, 3)}
    threads = [threading.Thread(target=work, args=(name, order)) for name, order in orders.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = HashedNgrams(64).encode(texts).values
    for name, order in orders.items():
        np.testing.assert_array_equal(out[name].values, expected[list(order)])
    np.testing.assert_array_equal(FeatureStore(tmp_path).encode(HashedNgrams(64), texts).values, expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_moment_it_resumes_to_the_same_bits(tmp_path):
    seen = crash_harness.run(10, tmp_path)
    assert seen["killed"] == 10


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX")
def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    store = FeatureStore(tmp_path)
    store.encode(HashedNgrams(16), TEXTS[:1])
    monkeypatch.setattr("palate.core.files.os.replace", full)
    with pytest.raises(ArtefactError, match="No space left"):
        store.encode(HashedNgrams(16), TEXTS)
    monkeypatch.undo()
    shelf = next(tmp_path.iterdir())
    assert len(list(shelf.glob("*.safetensors"))) == 1 and not list(shelf.glob(".palate-tmp-*"))
    assert FeatureStore(tmp_path).encode(HashedNgrams(16), TEXTS).present.sum() == 5


def test_values_out_of_range_are_refused():
    class Bad(Letters):
        value = np.inf

        def encode(self, batch):
            return Features(np.full((len(batch), 3), self.value, np.float32), np.ones(len(batch), bool))

    with pytest.raises(FeatureError, match="non-finite"):
        FeatureStore(None).encode(Bad("pooled"), ["a"])
    Bad.value = 1e5
    with pytest.raises(FeatureError, match="float16"):
        FeatureStore(None, "float16").encode(Bad("pooled"), ["a"])


def test_given_matrices():
    matrix = np.arange(12, dtype=np.float64).reshape(4, 3)
    found = given(matrix)
    assert found.values.dtype == np.float32 and found.identity.startswith("given:") and found.present.all()
    assert given(matrix + 1).identity != found.identity == given(matrix.copy()).identity
    matrix[2, 1] = np.nan
    with pytest.raises(FeatureError, match=r"row 3, column '1', key 'image'.*nan"):
        given(matrix, name="image")
    masked = given(matrix, np.array([True, True, False, True]))
    assert not masked.values[2].any() and not masked.present[2]
    for wrong in (np.zeros(3), np.array([["a"]])):
        with pytest.raises(FeatureError, match="matrix"):
            given(wrong)
    with pytest.raises(FeatureError, match="mask"):
        given(matrix, np.ones(3, bool))
    half = given(np.ones((2, 2), np.float16))
    assert half.values.dtype == np.float16


def test_the_store_describes_the_encoder_of_a_folder(tmp_path):
    encoder = HashedNgrams(16)
    FeatureStore(tmp_path).encode(encoder, TEXTS)
    facts = json.loads(next(tmp_path.rglob("encoder.json")).read_text())
    assert facts["identity"] == encoder.identity and facts["settings"]["dim"] == 16
