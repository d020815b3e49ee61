"""The index: exact against brute force, cells near it, filters, updates, other processes, killed writers."""

import subprocess
import sys

import numpy as np
import pytest
from index_cases import DIM, vectors

import palate.serving.index.local as module
from palate.core.batch import RaggedArray
from palate.serving.index import LocalIndex
from palate.serving.index.change_log import ChangeLog


def test_cells_find_most_neighbours_and_narrow_filters_all(tmp_path):
    pytest.importorskip("faiss")
    made = vectors(6000)
    index = LocalIndex.build(tmp_path / "index", made, approximate=True)
    exact = LocalIndex.build(tmp_path / "exact", made)
    queries = vectors(40, seed=1)
    truth, wanted = exact.search(queries, 20)
    found, scores = index.search(queries, 20)
    assert np.mean([np.isin(t, f).mean() for t, f in zip(truth, found)]) > 0.95
    cells = index.state.ivf
    assert 0 < cells.plan.rows < 3000 and cells.plan.recall >= 0.98
    same = found == truth
    np.testing.assert_allclose(scores[same], wanted[same], rtol=1e-5)
    rng = np.random.default_rng(0)
    for share in (0.02, 0.5):
        allowed = rng.random(6000) < share
        some, _ = index.search(queries, 20, allowed)
        assert allowed[some].all()
        truth, _ = exact.search(queries, 20, allowed)
        assert np.mean([np.isin(t, f).mean() for t, f in zip(truth, some)]) > (0.95 if share > 0.1 else 0.9999)
    seen = RaggedArray.of([row.tolist() for row in found[:, :15]])
    again, _ = index.search(queries, 20, exclude=seen)
    assert not any(np.isin(a, f[:15]).any() for a, f in zip(again, found))
    index.put([6001, 3], 10 * queries[:2])
    index.drop(found[2:3, 0])
    after, _ = index.search(queries[:3], 5)
    assert after[0, 0] == 6001 and after[1, 0] == 3 and found[2, 0] not in after[2]


def test_another_process_sees_updates_and_new_bases(tmp_path):
    index = LocalIndex.build(tmp_path, vectors(20))
    other = LocalIndex(tmp_path)
    assert not other.refresh()
    code = (
        "import sys, numpy as np; from palate.serving.index import LocalIndex;"
        f"LocalIndex(sys.argv[1]).put([25], np.full((1, {DIM}), 9, np.float32))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)
    query = np.ones((1, DIM), np.float32)
    assert other.search(query, 1)[0][0, 0] != 25
    assert other.refresh() and other.search(query, 1)[0][0, 0] == 25
    LocalIndex.build(tmp_path, np.eye(DIM, dtype=np.float32))
    assert index.search(query, 30)[0].max() < 20, "a reader that does not refresh goes on with the old base"
    assert other.refresh() and other.search(query, 30)[0].max() == DIM - 1
    assert other.number == 1 and not other.refresh()


def test_an_unfinished_record_is_ignored_and_cut_off(tmp_path):
    index = LocalIndex.build(tmp_path, vectors(5))
    index.put([6], vectors(1, seed=2))
    file = index.changes.file
    size = file.stat().st_size
    for row, torn in enumerate((1, size // 2, size - 1)):
        with open(file, "ab") as handle:
            handle.write(file.read_bytes()[:torn])
        assert LocalIndex(tmp_path).state.rows.tolist() == [6]
        assert not index.refresh()
        index.drop([row])
        assert file.stat().st_size % size == 0
        assert not LocalIndex(tmp_path).state.present[row] and not index.state.present[row]
        index.drop([row])
        assert file.stat().st_size == (row + 2) * size, "dropping an absent row writes nothing"


def append(changes, rows, vectors):
    with changes.locked() as handle:
        changes.append(changes.records(rows, vectors), handle)


def test_a_rebuilt_base_holds_changes_and_concurrent_writes(tmp_path, monkeypatch):
    index = LocalIndex.build(tmp_path, vectors(20))
    other = LocalIndex(tmp_path)
    index.put([30, 2], np.full((2, DIM), 3, np.float32))
    index.drop([4])
    made = module._write_base
    query = np.ones((1, DIM), np.float32)

    def slow(*arguments):
        out = made(*arguments)
        other.put([40], np.full((1, DIM), 5, np.float32))
        return out

    monkeypatch.setattr(module, "_write_base", slow)
    index.rebuild()
    monkeypatch.undo()
    assert index.number == 1 and index.state.rows.tolist() == [40] and len(index.state.base) == 31
    found, _ = index.search(query, 50)
    assert found[0, :3].tolist() == [40, 2, 30] and 4 not in found[0] and 25 not in found[0]
    np.testing.assert_array_equal(found, LocalIndex(tmp_path).search(query, 50)[0])
    assert other.number == 0
    other.put([41], np.full((1, DIM), 6, np.float32))
    assert other.number == 1 and other.search(query, 50)[0][0, :2].tolist() == [41, 40]
    assert index.refresh() and index.search(query, 1)[0][0, 0] == 41
    index.rebuild()
    index.rebuild()
    assert sorted(path.name for path in tmp_path.glob("base-*")) == ["base-2", "base-3"]
    other.refresh()
    assert other.search(query, 50)[0].tolist() == index.search(query, 50)[0].tolist()


def test_a_record_with_a_wrong_checksum_stops_the_reader(tmp_path):
    file = tmp_path / "changes"
    file.touch()
    changes = ChangeLog(file, 2)
    append(changes, np.array([1, 2]), np.ones((2, 2), np.float32))
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\0")
    reader = ChangeLog(file, 2)
    assert reader.read_new()["row"].tolist() == [1] and not len(reader.read_new())
    append(changes, np.array([3]), None)
    assert reader.read_new()["row"].tolist() == [3]
