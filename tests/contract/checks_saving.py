"""Run folders: they move, they are whole, and they hold nothing that runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from cases import Case, check, people, same_state, scores, seen_scores
from tiny_world import N_ITEMS, arrivals

import palate
from palate.core.errors import ArtefactError


def same_table(found, wanted) -> None:
    """Equal lists; a product of other memory alignment may round its last bit otherwise."""
    assert found.drop("score").equals(wanted.drop("score"))
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-5, atol=1e-6)


SUFFIXES = {".yaml", ".json", ".safetensors", ".parquet"}


@check()
def restored_model_scores_the_same_bits(case: Case) -> None:
    for name in ("plain", "described"):
        model = case.restored(name)
        assert type(model) is case.kind
        assert np.array_equal(seen_scores(model, case.data(name)), seen_scores(case.fitted(name), case.data(name)))
        assert (model.scorer().scorable() == case.fitted(name).scorer().scorable()).all()


@check()
def restored_model_has_the_same_state(case: Case) -> None:
    model = case.restored()
    assert same_state(model, case.fitted())
    assert model.config == case.fitted().config
    assert not any(module.training for module in model.modules())


@check()
def restored_model_recommends_the_same(case: Case) -> None:
    model, first = case.restored(), case.fitted()
    options = {"k": 7, "exclude": ["i02"], "on_unknown": "fallback"}
    same_table(*(m.recommend(["u00", "u30", "who"], **options) for m in (model, first)))
    assert model.deployment.about == first.deployment.about


@check()
def restored_model_can_be_saved_again(case: Case) -> None:
    again = case.restored().save(case.folder / "again")
    for file in sorted(path.relative_to(again) for path in again.rglob("*") if path.is_file()):
        assert (again / file).read_bytes() == (case.saved() / file).read_bytes(), str(file)


@check()
def cold_protocol_survives_saving(case: Case) -> None:
    data = case.data("item_cold")
    model = case.restored("item_cold")
    assert np.array_equal(seen_scores(model, data), seen_scores(case.fitted("item_cold"), data))


@check()
def a_run_holds_no_pickle(case: Case) -> None:
    files = [path for path in case.saved("described").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert path.suffix in SUFFIXES, path.name
        start = path.read_bytes()[:2]
        assert start not in (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"), path.name


@check()
def a_run_leaves_no_trace_of_its_writing(case: Case) -> None:
    case.saved()
    assert not list(case.folder.glob(".palate-tmp-*")) and not list(case.saved().rglob(".palate-tmp-*"))


@check()
def a_moved_run_works(case: Case) -> None:
    run = case.run_copy("before-moving", "described")
    moved = case.folder / "elsewhere" / "run"
    moved.parent.mkdir()
    shutil.move(run, moved)
    model = palate.restore(moved)
    first = case.fitted("described")
    same_table(model.recommend(["u05"], k=5), first.recommend(["u05"], k=5))
    if model.capabilities.new_items:
        model.add_items(arrivals())
        assert "new-full" in set(model.recommend(["u05"], k=N_ITEMS + 2)["item"])


@check(lambda kind: kind.capabilities.new_items)
def a_run_saved_after_adding_items_knows_them(case: Case) -> None:
    model = case.restored("described").add_items(arrivals())
    again = palate.restore(model.save(case.folder / "grown"))
    assert len(again.deployment.items) == N_ITEMS + 2
    users = people(case.data("described"))
    assert np.array_equal(scores(again.scorer(), users), scores(model.scorer(), users))
    assert again.recommend(["u08"], k=N_ITEMS + 2).equals(model.recommend(["u08"], k=N_ITEMS + 2))


def refused(folder: Path) -> ArtefactError:
    with pytest.raises(ArtefactError) as caught:
        palate.restore(folder)
    return caught.value


@check()
def a_newer_format_is_refused_by_number(case: Case) -> None:
    run = case.run_copy("newer")
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "format": 999}))
    error = refused(run)
    assert "999" in error.message and error.hint


@check()
def a_damaged_file_is_refused_by_name(case: Case) -> None:
    """Cut short, one bit flipped, gone: for each file of the run."""
    run = case.run_copy("damaged")
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        whole = path.read_bytes()
        flipped = bytearray(whole)
        flipped[len(whole) // 2] ^= 4
        for bad in (whole[: len(whole) // 2], bytes(flipped), None):
            if path.name == "manifest.json" and bad == bytes(flipped):
                continue
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad)
            error = refused(run)
            assert (error.file is not None and path.name in error.file) or path.name in str(error), (path.name, error)
        path.write_bytes(whole)
    palate.restore(run)


@check()
def a_run_replaces_an_older_one_whole(case: Case) -> None:
    run = case.run_copy("replaced")
    (run / "stray.txt").write_text("old")
    case.restored().save(run)
    assert not (run / "stray.txt").exists()
    palate.restore(run)
