"""Progress: stages are named, an early end is said, and steps that cost unlike have no ETA."""

import logging

import pytest

from palate.core import progress as module
from palate.core.progress import progress, stage, track


@pytest.fixture
def lines(monkeypatch, caplog):
    """Lines said in plain mode, each step counted as five seconds."""
    monkeypatch.setenv("PALATE_PROGRESS", "plain")
    clock = iter(range(0, 100_000, 5))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    caplog.set_level(logging.INFO, "palate")
    return lambda: [record.getMessage() for record in caplog.records]


def test_a_line_names_its_stage_and_how_far_it_is(lines):
    with stage("member 3 of 6 content_kernel"), progress("choosing the kernel", 9) as advance:
        for _ in range(9):
            advance(1)
    said = lines()
    assert said[0] == "member 3 of 6 content_kernel"
    assert said[4] == "member 3 of 6 content_kernel: choosing the kernel: 4/9, about 25 s left"
    assert said[-1] == "member 3 of 6 content_kernel: choosing the kernel: 9/9" and len(said) == 10


def test_stages_nest_and_end(lines):
    for name in track(["a", "b"], "fit", names=str):
        with stage("inner"), progress("work", 1) as advance:
            advance(1, f"for {name}")
    with progress("after", 1) as advance:
        advance(1)
    said = lines()
    assert said[:3] == ["fit 1 of 2 a", "fit 1 of 2 a: inner", "fit 1 of 2 a: inner: work: 1/1 for a"]
    assert said[-1] == "after: 1/1"


def test_an_early_end_is_said(lines):
    with progress("train", 120) as advance:
        for _ in range(83):
            advance(1, "loss 0.5")
    assert lines()[-1] == "train: 83/120, stopped early loss 0.5"


def test_steps_that_cost_unlike_have_no_eta(lines):
    with progress("choosing settings", 3, eta=False) as advance:
        advance(1)
        advance(1)
    assert not any("left" in line for line in lines())


def test_a_stage_ends_where_its_work_fails(lines):
    with pytest.raises(ValueError, match="no"), stage("first"):
        raise ValueError("no")
    with stage("second"):
        pass
    assert lines()[-1] == "second"


def test_quiet_says_nothing(lines, monkeypatch):
    monkeypatch.setenv("PALATE_PROGRESS", "quiet")
    with stage("one"), progress("two", 2) as advance:
        advance(2)
    assert list(track([1, 2], "three", names=str)) == [1, 2]
    assert lines() == []
