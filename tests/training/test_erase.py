"""Forgetting a user in a run: what is theirs goes, and nothing else."""

import numpy as np
import polars as pl
import pytest

import palate
from palate.core.files import read_json
from palate.training.erase import erase_user


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
    assert read_json(run / "manifest.json")["forgotten"] == [row]
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
