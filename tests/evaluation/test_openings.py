"""Openings of test are counted by data and test rows, in the user's cache."""

import json
import os

import pytest
from shop_frames import make_shop

from palate.contracts.parse import parse_model
from palate.evaluation.evaluate import evaluate
from palate.evaluation.openings import one_opening, open_test, openings_folder, openings_of
from palate.training.fit import fit


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_CACHE", str(tmp_path))
    return tmp_path


def test_every_call_of_evaluate_counts_outside_of_a_block_and_one_block_counts_once():
    data = make_shop()
    model = fit(parse_model("popularity"), data)
    assert [evaluate(model, data).about["openings_of_test"] for _ in range(2)] == [1, 2]
    with one_opening("compare"):
        assert [evaluate(model, data).about["openings_of_test"] for _ in range(2)] == [3, 3]
    assert openings_of(data) == 3


def test_a_part_is_known_by_its_data_and_its_rows():
    data = make_shop(split="random:seed=1")
    open_test(data, "first")
    masked = data.with_split(data.spec.model_copy(update={"mask": "all"}))
    assert str(masked.spec) != str(data.spec) and openings_of(masked) == 1, "the same rows under another name"
    assert openings_of(make_shop(split="random:seed=2")) == 0
    assert openings_of(make_shop(n_users=20, split="random:seed=1")) == 0
    (file,) = openings_folder(data).iterdir()
    assert json.loads(file.read_text()).keys() == {"time", "command", "data", "split"}


def test_a_killed_command_that_goes_on_is_not_another_opening():
    data = make_shop()
    with one_opening("compare"):
        open_test(data)
    with one_opening("compare", counted=[data]):
        assert open_test(data) == 1
    assert openings_of(data) == 1


def test_a_cache_that_cannot_be_written_stops_nothing_and_is_named(cache, caplog, monkeypatch):
    (cache / "openings").write_text("a file where a folder should be")
    assert open_test(make_shop()) == 1
    assert "PALATE_CACHE" in caplog.text
    assert os.path.isfile(cache / "openings")
