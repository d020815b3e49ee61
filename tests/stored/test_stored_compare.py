"""The comparison of stored outputs catches what it is there for, and nothing else."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from stored_compare import OTHER_MACHINE, differences, report
from stored_outputs import layout, read, rounded, steady_rounding, summary


@pytest.fixture
def changed():
    """Stored outputs of a model, to be changed."""
    return copy.deepcopy(read("bm3"))


def only_line(changed):
    (line,) = differences(read("bm3"), changed)
    return line


def test_equal_outputs_do_not_differ(changed):
    assert differences(read("bm3"), changed) == []


def test_a_perturbed_score_is_named(changed):
    scores = changed["plain"]["lists"]["user 0"]["scores"]
    scores[4] += 1e-5
    line = only_line(changed)
    assert line.startswith("plain / lists / user 0 / scores / 4: stored ") and f"now {scores[4]:.9g}" in line


def test_rounding_is_no_difference(changed):
    scores = changed["plain"]["lists"]["user 0"]["scores"]
    scores[4] += 5e-7
    changed["plain"]["history"][0]["loss"] *= 1 + 5e-7
    assert differences(read("bm3"), changed) == []


def test_another_machine_rounds_more_but_not_much_more(changed):
    changed["machine"] = "another"
    scores = changed["plain"]["lists"]["user 0"]["scores"]
    scores[4] += OTHER_MACHINE.value / 2
    assert differences(read("bm3"), changed) == []
    scores[4] += OTHER_MACHINE.value
    assert "scores / 4" in only_line(changed)


def test_swapped_items_are_named(changed):
    items = changed["plain"]["lists"]["user 0"]["items"]
    items[2], items[3] = items[3], items[2]
    lines = differences(read("bm3"), changed)
    assert [line.partition(":")[0] for line in lines] == [f"plain / lists / user 0 / items / {at}" for at in (2, 3)]


def test_items_that_tie_may_change_places():
    old = {"items": [5, 6, 7, 8], "scores": [2.0, 1.0, 1.0, 0.5]}
    for items, count in (([5, 7, 6, 8], 0), ([5, 6, 7, 9], 0), ([6, 5, 7, 8], 2), ([5, 9, 7, 8], 1)):
        assert len(differences({"list": old}, {"list": {**old, "items": items}})) == count


def test_a_renamed_tensor_is_named(changed):
    tensors = changed["plain"]["tensors"]
    tensors["other"] = tensors.pop("table")
    lines = differences(read("bm3"), changed)
    assert [line.partition(":")[0] for line in lines] == ["plain / tensors / table", "plain / tensors / other"]
    assert "now absent" in lines[0] and "stored absent" in lines[1]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda plain: plain["tensors"]["table"].update(shape=[8, 66]), "tensors / table / shape / 0"),
        (lambda plain: plain["tensors"]["table"].update(dtype="float64"), "tensors / table / dtype"),
        (lambda plain: plain["history"].pop(), "history"),
        (lambda plain: plain["history"][1].update(loss=float("inf")), "history / 1 / loss"),
        (lambda plain: plain["selected"].update(epochs=7), "selected / epochs"),
        (lambda plain: plain.update(valid=None), "valid"),
        (lambda plain: plain["similar"].update(refused=True), "similar / refused"),
    ],
)
def test_other_changes_are_named(changed, change, place):
    change(changed["plain"])
    lines = differences(read("bm3"), changed)
    assert lines and lines[0].startswith(f"plain / {place}:")


def test_changed_tensors_show_in_their_sums():
    values = np.random.default_rng(0).normal(size=(66, 8)).astype(np.float32)
    old = rounded(summary(values))
    swapped, moved = values.copy(), values.copy()
    swapped[[3, 4]] = swapped[[4, 3]]
    moved[7, 3] += 1e-2
    for other in (swapped, moved, -values):
        assert differences({"t": old}, {"t": rounded(summary(other))})
    assert not differences({"t": old}, {"t": rounded(summary(values * np.float32(1 + 2e-7)))})


def test_the_report_says_what_to_do():
    text = report("bm3", [f"line {at}" for at in range(20)])
    assert "bm3: 20 outputs differ" in text and "  bm3: line 0" in text and "... and 8 more" in text
    assert "python tests/stored/record.py bm3" in text and "commit message" in text


def test_files_read_back_as_they_were_written():
    import json

    record = read("bm3")
    assert json.loads(layout(record)) == record
    assert rounded({"a": [np.float32(1 / 3), np.nan, np.inf], "b": (np.int64(3), True)}) == {
        "a": [0.333333343, "nan", "inf"],
        "b": [3, True],
    }


def test_optimisers_and_threads_are_as_before_afterwards():
    before = torch.optim.Adam.__init__, torch.get_num_threads()
    weight = torch.nn.Parameter(torch.ones(1))
    with steady_rounding():
        assert torch.optim.Adam([weight]).defaults["eps"] == 1e-2
        assert torch.optim.Adam([weight], eps=1e-3).defaults["eps"] == 1e-3
    assert (torch.optim.Adam.__init__, torch.get_num_threads()) == before
    assert torch.optim.Adam([weight]).defaults["eps"] == 1e-8
