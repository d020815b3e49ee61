"""Files: whole or absent, never executed, never outside their folder."""

from __future__ import annotations

import json
import os
import pickle
import struct

import numpy as np
import pytest
import torch

import palate.core.files as files
from palate.core.errors import ArtefactError
from palate.core.files import (
    atomic_folder,
    atomic_path,
    digest,
    file_digest,
    folder_digests,
    inside,
    read_json,
    read_tensors,
    verify,
    write_json,
    write_tensors,
    write_text,
)


class Boom(Exception):
    """A fault in the middle of writing."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_only_when_writing_succeeds(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(Boom), atomic_path(target) as aside:
        aside.write_text("half")
        assert target.read_text() == "old"
        raise Boom
    assert target.read_text() == "old" and names(tmp_path) == ["a.txt"]
    write_text(target, "new")
    assert target.read_text() == "new" and names(tmp_path) == ["a.txt"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "run"
    with pytest.raises(Boom), atomic_folder(target) as aside:
        (aside / "one").write_text("1")
        raise Boom
    assert names(tmp_path) == []
    with atomic_folder(target) as aside:
        (aside / "one").write_text("1")
        assert not target.exists()
    with atomic_folder(target) as aside:
        (aside / "two").write_text("2")
        assert names(target) == ["one"]
    assert names(target) == ["two"] and names(tmp_path) == ["run"]


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failing_disk_leaves_the_old_file(tmp_path, monkeypatch, failing):
    target = tmp_path / "a.json"
    write_json(target, {"v": 1})

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files.os, failing, fail)
        with pytest.raises(OSError, match="No space"):
            write_json(target, {"v": 2})
    assert read_json(target) == {"v": 1} and names(tmp_path) == ["a.json"]


def test_json_round_trip_and_damage(tmp_path):
    path = tmp_path / "a.json"
    value = {"b": [1, 2.5, None, True], "ä": "😀"}
    write_json(path, {**value, "n": np.float32(0.5), "a": np.arange(3), "p": tmp_path})
    assert read_json(path) == {**value, "n": 0.5, "a": [0, 1, 2], "p": str(tmp_path)}
    for bad in (b"{", b"\xff\xfe", b""):
        path.write_bytes(bad)
        with pytest.raises(ArtefactError) as caught:
            read_json(path)
        assert caught.value.file == str(path)
    with pytest.raises(TypeError):
        write_json(path, {"x": object()})


TENSORS = {
    "weights": torch.arange(60, dtype=torch.float32).view(6, 10),
    "half": torch.ones(5, dtype=torch.float16),
    "mask": torch.tensor([True, False, True]),
    "rows": torch.arange(4),
}


@pytest.fixture
def tensor_file(tmp_path):
    path = tmp_path / "t.safetensors"
    write_tensors(path, TENSORS, {"made": "here"})
    return path


def test_tensors_come_back_bit_by_bit(tensor_file):
    found = read_tensors(tensor_file)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[k], v) and found[k].dtype == v.dtype for k, v in TENSORS.items())


def test_no_tensors_come_back_as_none(tmp_path):
    write_tensors(tmp_path / "empty.safetensors", {})
    assert read_tensors(tmp_path / "empty.safetensors") == {}


def test_shared_and_strided_tensors_are_copied_apart(tmp_path):
    base = torch.arange(12.0).view(3, 4)
    write_tensors(tmp_path / "s.safetensors", {"a": base, "b": base, "t": base.T})
    found = read_tensors(tmp_path / "s.safetensors")
    assert torch.equal(found["b"], base) and torch.equal(found["t"], base.T)


def test_truncation_at_64_places_is_detected(tensor_file):
    whole = tensor_file.read_bytes()
    for size in np.linspace(0, len(whole) - 1, 64).astype(int):
        tensor_file.write_bytes(whole[:size])
        with pytest.raises(ArtefactError) as caught:
            read_tensors(tensor_file)
        assert caught.value.file == str(tensor_file)


def test_a_thousand_flipped_bits_are_detected(tensor_file):
    whole = bytearray(tensor_file.read_bytes())
    wanted = folder_digests(tensor_file.parent)
    rng = np.random.default_rng(0)
    for place, bit in zip(rng.integers(len(whole), size=1000), rng.integers(8, size=1000)):
        whole[place] ^= 1 << bit
        tensor_file.write_bytes(whole)
        with pytest.raises(ArtefactError, match="checksum"):
            verify(tensor_file.parent, wanted)
        whole[place] ^= 1 << bit
    tensor_file.write_bytes(whole)
    verify(tensor_file.parent, wanted)


class Payload:
    """Would leave a trace if it were ever unpickled."""

    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def payloads(trace):
    command = f"touch {trace}"
    calls = [
        (os.system, command), (os.popen, command), (open, str(trace), "w"), (os.mkdir, str(trace)),
        (exec, f"open({str(trace)!r}, 'w')"), (eval, f"open({str(trace)!r}, 'w')"),
    ]  # fmt: skip
    for call, *arguments in calls:
        for protocol in (0, 2, 4, 5):
            yield pickle.dumps(Payload(call, *arguments), protocol)


def test_pickles_are_refused_and_never_executed(tmp_path):
    trace = tmp_path / "trace"
    found = list(payloads(trace))
    assert len(found) >= 20
    for number, raw in enumerate(found):
        for disguise in ("m.safetensors", "m.pt", "m.json"):
            path = tmp_path / f"{number}-{disguise}"
            for content in (raw, struct.pack("<Q", len(raw)) + raw):
                path.write_bytes(content)
                with pytest.raises(ArtefactError):
                    (read_json if disguise.endswith("json") else read_tensors)(path)
    torch.save({"w": Payload(os.mkdir, str(trace))}, tmp_path / "w.safetensors")
    with pytest.raises(ArtefactError):
        read_tensors(tmp_path / "w.safetensors")
    assert not trace.exists()


def test_headers_with_wrong_lengths_overlaps_and_types(tmp_path):
    """Thousands of damaged headers: each is refused, or reads as tensors inside the file's bytes."""
    path = tmp_path / "h.safetensors"
    rng = np.random.default_rng(1)
    data = bytes(range(64))
    read = 0
    for case in range(10_000):
        begin, end = (int(x) for x in rng.integers(-2, 80, 2))
        entry = {
            "dtype": ["F32", "F16", "I64", "BOOL", "X9", "f32", 7, None][int(rng.integers(8))],
            "shape": [int(x) for x in rng.integers(-2, 9, int(rng.integers(0, 4)))],
            "data_offsets": [begin, end] if case % 3 else [0, 64],
        }
        if case % 5 == 0:
            entry.pop(["dtype", "shape", "data_offsets"][int(rng.integers(3))])
        header = {"a": entry, **({"b": entry} if case % 7 == 0 else {})}
        raw = json.dumps(header).encode()
        length = len(raw) if case % 4 else int(rng.integers(0, 2**62))
        path.write_bytes(struct.pack("<Q", length) + raw + data)
        try:
            found = read_tensors(path)
        except ArtefactError as error:
            assert error.file == str(path)
            continue
        read += 1
        assert sum(tensor.numel() * tensor.element_size() for tensor in found.values()) <= len(data)
    assert read < 1_000


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "..", "a/b/../../../x", "nul\0byte", "link/x"])
def test_names_cannot_leave_their_folder(tmp_path, name):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ArtefactError, match="leaves its folder"):
        inside(folder, name)
    with pytest.raises(ArtefactError):
        verify(folder, {name: "0"})


def test_names_inside_are_fine(tmp_path):
    assert inside(tmp_path, "a/b.txt") == tmp_path / "a" / "b.txt"
    assert inside(tmp_path, "..a") == tmp_path / "..a"


def test_missing_and_changed_files_are_named(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_text("1")
    (tmp_path / "b").write_text("2")
    wanted = folder_digests(tmp_path)
    assert list(wanted) == ["b", "sub/a"] and wanted["b"] == file_digest(tmp_path / "b")
    verify(tmp_path, wanted)
    (tmp_path / "extra").write_text("a report may come later")
    verify(tmp_path, wanted)
    (tmp_path / "sub" / "a").unlink()
    with pytest.raises(ArtefactError, match="missing") as caught:
        verify(tmp_path, wanted)
    assert caught.value.file.endswith("sub/a")


def test_digest_parts_cannot_be_shifted():
    assert digest("ab", "c") != digest("a", "bc") and digest("a") == digest(b"a") and len(digest()) == 32


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    from safetensors import SafetensorError

    from palate.core.content import Features
    from palate.features.segment import Segment

    def full(*_, **__):
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(ArtefactError, match=r"cannot be written .*No space left"):
        write_tensors(tmp_path / "t.safetensors", TENSORS)
    segment = Segment.of(["a"], Features(np.ones((1, 2), np.float32), np.ones(1, bool)), {}, np.dtype(np.float32))
    with pytest.raises(ArtefactError, match=r"cannot be written .*No space left"):
        segment.write(tmp_path)
    assert names(tmp_path) == []


def test_files_follow_the_umask(tmp_path):
    before = os.umask(0o007)
    try:
        write_tensors(tmp_path / "t.safetensors", TENSORS)
        write_text(tmp_path / "a.txt", "text")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o660}
