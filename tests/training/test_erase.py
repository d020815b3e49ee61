"""Erasing a user from a run: what is theirs goes, and nothing else."""

import json

import numpy as np
import polars as pl
import pytest

import palate
from palate.contracts import models
from palate.core.content import Features
from palate.core.files import file_digest, read_json, read_tensors, write_tensors
from palate.training.erase import erase_user
from palate.training.manifest import erased_rows
from palate.training.saving import save

N_USERS, ROW = 9, 3
STACKED = ("lightgcn", "freedom", "bm3", "lgmrec", "alignrec", "mmgcn", "lattice")


@pytest.fixture
def run(tmp_path):
    rng = np.random.default_rng(0)
    log = pl.DataFrame({"user": [f"u{i % 7}<" for i in range(60)], "item": [f"i{i}" for i in rng.integers(0, 12, 60)]})
    items = pl.DataFrame({"item": [f"i{i}" for i in range(12)]})
    data = palate.Dataset.from_frames(items, log.unique(maintain_order=True), split="random")
    folder = palate.models.BPR(dim=4, epochs=2).fit(data).save(tmp_path / "run")
    article = '<article class="person">\n<strong>{}</strong>\n<h3>Liked</h3></article>\n'
    (folder / "report.html").write_text("<p>all</p>" + article.format("u2&lt;") + article.format("u3&lt;"))
    return folder


def test_one_user_goes_and_the_others_stay(run):
    before = palate.restore(run)
    row = int(before.deployment.users.rows(["u2<"])[0])
    others = [user for user in before.deployment.users.ids.to_list() if user != "u2<"]
    assert erase_user(run, "u2<") and not erase_user(run, "u2<") and not erase_user(run, "nobody")
    after = palate.restore(run)
    assert "u2<" not in after.deployment.users.ids.to_list() and len(after.deployment.seen[row]) == 0
    assert read_json(run / "manifest.json")["erased"] == [row]
    assert after.recommend(users=others, k=5).equals(before.recommend(users=others, k=5))
    users = after.get_buffer("final_users")
    assert not users[row].any() and users[[at for at in range(7) if at != row]].abs().sum(1).all()
    report = (run / "report.html").read_text()
    assert "u2&lt;" not in report and "u3&lt;" in report and report.startswith("<p>all</p>")
    for file in run.rglob("*"):
        assert not file.is_file() or b"u2<" not in file.read_bytes(), file


def test_ids_that_are_numbers(tmp_path):
    log = pl.DataFrame({"user": [1, 1, 2, 2, 3, 3], "item": ["a", "b", "a", "c", "b", "c"]})
    data = palate.Dataset.from_frames(pl.DataFrame({"item": ["a", "b", "c"]}), log, split="random")
    run = palate.models.Popularity().fit(data).save(tmp_path / "run")
    assert erase_user(run, "2") and not erase_user(run, 2)
    assert palate.restore(run).deployment.users.ids.to_list()[::2] == [1, 3]


def tiny(n_items):
    """Nine users who each took five of ``n_items`` items that have pictures."""
    rng = np.random.default_rng(1)
    pairs = [(f"u{user}", f"i{item}") for user in range(N_USERS) for item in rng.permutation(n_items)[:5]]
    return palate.Dataset.from_frames(
        pl.DataFrame({"item": [f"i{row}" for row in range(n_items)]}),
        pl.DataFrame(pairs, schema=["user", "item"], orient="row"),
        features={"image": Features(rng.normal(size=(n_items, 5)).astype(np.float32), np.ones(n_items, bool))},
        split="random",
    )


def fitted(name, n_items=14):
    small = {"dim": 4, "epochs": 1}
    if name == "blend":
        small = {"members": ("freedom", "lightgcn"), "settings": {"freedom": small, "lightgcn": small}}
    return models.get(name)(**small).fit(tiny(n_items))


def by_user(run, n_items):
    """Name -> tensor of those that have a row a user, or a row a user and then a row an item."""
    sizes = (N_USERS, N_USERS + n_items)
    both = {**read_tensors(run / "model.safetensors")}
    if (run / "training.safetensors").is_file():
        both |= read_tensors(run / "training.safetensors")
    return {name: tensor for name, tensor in both.items() if tensor.ndim == 2 and len(tensor) in sizes}


def as_older_palate_wrote_it(run, model):
    """The run with all tensors in one file and no names of those that hold users."""
    (run / "training.safetensors").unlink(missing_ok=True)
    write_tensors(run / "model.safetensors", model.state_dict())
    manifest = read_json(run / "manifest.json")
    del manifest["user_tensors"], manifest["tensors"], manifest["files"]["training.safetensors"]
    manifest["files"]["model.safetensors"] = file_digest(run / "model.safetensors")
    (run / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("n_items", [14, N_USERS])
@pytest.mark.parametrize("name", STACKED)
def test_stacked_tables_lose_the_row_of_the_user(name, n_items, tmp_path):
    model = fitted(name, n_items)
    run = save(model, tmp_path / "run", training_tensors=True)
    before = by_user(run, n_items)
    stacked = "ids" if name == "mmgcn" else "table"
    assert before[stacked][ROW].any() and before["final_users"][ROW].any()
    assert erase_user(run, f"u{ROW}")
    after = by_user(run, n_items)
    users = [stacked, "final_users", *(["branches.0.preference"] if name == "mmgcn" else [])]
    for key, tensor in after.items():
        assert tensor[ROW].any() == (key not in users), key
        others = np.arange(len(tensor)) != ROW
        assert (tensor[others] == before[key][others]).all(), key


@pytest.mark.parametrize("n_items", [14, N_USERS])
@pytest.mark.parametrize("name", STACKED)
def test_runs_that_do_not_name_their_tensors(name, n_items, tmp_path):
    model = fitted(name, n_items)
    run = save(model, tmp_path / "run", training_tensors=True)
    as_older_palate_wrote_it(run, model)
    assert erase_user(run, f"u{ROW}")
    for key, tensor in by_user(run, n_items).items():
        if key in ("table", "ids", "final_users", "branches.0.preference"):
            assert not tensor[ROW].any(), key
    assert palate.restore(run).recommend(users=["u1"], k=3).equals(model.recommend(users=["u1"], k=3))


def test_members_of_a_blend_keep_no_table(tmp_path):
    model = fitted("blend")
    run = save(model, tmp_path / "run", training_tensors=True)
    assert not (run / "training.safetensors").exists()
    assert {"matchers.0.final_users", "matchers.1.final_users"} == by_user(run, 14).keys()
    assert erase_user(run, f"u{ROW}")
    assert not any(tensor[ROW].any() for tensor in by_user(run, 14).values())
    assert palate.restore(run).recommend(users=["u1"], k=3).equals(model.recommend(users=["u1"], k=3))


def test_a_run_keeps_what_scoring_needs_and_training_tensors_only_when_wanted(tmp_path):
    model = fitted("lightgcn")
    slim = model.save(tmp_path / "slim")
    assert not (slim / "training.safetensors").exists()
    assert read_tensors(slim / "model.safetensors").keys() == {"known", "final_users", "final_items"}
    restored = palate.restore(slim)
    assert restored.table is None and dict(restored.named_parameters()) == {}
    wide = save(model, tmp_path / "wide", training_tensors=True)
    assert read_tensors(wide / "training.safetensors").keys() == {"table"}


def test_rows_that_an_earlier_version_erased_are_known():
    assert erased_rows({}) == []
    assert erased_rows({"forgotten": [3], "erased": [5]}) == [3, 5]
