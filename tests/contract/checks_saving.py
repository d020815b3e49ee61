"""Run folders: they move, they are whole, and they hold nothing that runs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import Case, check, people, same_state, scores, seen_scores
from tiny_world import COLD, N_ITEMS, N_USERS, arrivals, grown

import palate
from palate.contracts import Matcher
from palate.core.errors import ArtefactError
from palate.core.files import file_digest, read_tensors
from palate.core.item_features import ItemFeatures
from palate.training.erase import erase_user
from palate.training.saving import save


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


def tensors_of(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run but histories, by file and name."""
    files = sorted(path for path in run.glob("*.safetensors") if path.name != "seen.safetensors")
    return {f"{file.name}/{name}": tensor for file in files for name, tensor in read_tensors(file).items()}


@check()
def tensors_with_a_row_a_user_are_named(case: Case) -> None:
    model = case.fitted()
    named = model.user_tensors()
    for name, tensor in model.state_dict().items():
        if tensor.ndim and len(tensor) in (N_USERS, N_USERS + N_ITEMS):
            assert named.get(name) == slice(0, N_USERS), (
                f"{name} has a row for each user: say so in user_tensors(), so that a user can be erased"
            )


@check()
def what_only_training_reads_is_not_saved(case: Case) -> None:
    """A restored model holds the tensors that scoring reads and no other, takes new content, and scores as before."""
    model, data = case.restored(), case.data()
    assert model.state_dict().keys() == case.fitted().state_dict().keys() - case.fitted().training_tensors()
    assert not model.training_tensors()
    if model.capabilities.new_items:
        features = ItemFeatures.of(grown(data.items, COLD))
        fitted = case.fit()
        for one in (model, fitted):
            one.scorer()  # both in use: what is kept for scoring is brought up to date, not made anew by one alone
            one.update_items(features)
        assert np.array_equal(*(scores(one.scorer(), people(data)) for one in (model, fitted)))


@check()
def an_erased_user_is_in_no_tensor(case: Case) -> None:
    """Neither as they were nor scaled; the others keep their rows, also those that only training reads."""
    run, row = case.folder / "erased", 8
    save(case.fitted(), run, training_tensors=True)
    before = tensors_of(run)
    stored = {name: tensor for name, tensor in before.items() if len(tensor) in (N_USERS, N_USERS + N_ITEMS)}
    assert erase_user(run, f"u{row:02d}")
    after = tensors_of(run)
    assert after.keys() == before.keys()
    for name, tensor in stored.items():
        rest = torch.arange(len(tensor)) != row
        assert not after[name][row].any(), name
        assert torch.equal(after[name][rest], tensor[rest]), name
    for name, tensor in after.items():
        for held in stored.values():
            if tensor.ndim == 2 and held.ndim == 2 and tensor.shape[1] == held.shape[1] and held[row].any():
                alike = torch.nn.functional.cosine_similarity(tensor.float(), held[row].float()[None]).abs()
                assert alike.max() < 1 - 1e-5, name
    others = [user for user in range(N_USERS) if user != row]
    users = people(case.data(), np.array(others))
    restored = palate.restore(run)
    assert isinstance(restored, Matcher)
    assert np.array_equal(scores(restored.scorer(), users), scores(case.fitted().scorer(), users))


@check()
def a_run_replaces_an_older_one_whole(case: Case) -> None:
    """Files of the older run go, those of others stay."""
    run = case.run_copy("replaced")
    for name in ("older.txt", "notes.txt"):
        (run / name).write_text(name)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["files"]["older.txt"] = file_digest(run / "older.txt")
    (run / "manifest.json").write_text(json.dumps(manifest))
    case.restored().save(run)
    assert not (run / "older.txt").exists() and (run / "notes.txt").read_text() == "notes.txt"
    palate.restore(run)
