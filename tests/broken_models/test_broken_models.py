"""Each planted defect is caught by the check that is there for it, and the sound model passes that check."""

from __future__ import annotations

import importlib

import pytest
from cases import CHECKS
from defects import PLANTED

for part in ("settings", "fitting", "scores", "serving", "items", "leaks", "saving", "gaps", "derived"):
    importlib.import_module(f"checks_{part}")


def test_there_are_at_least_fifteen_defects():
    assert len({kind for kind, _, _ in PLANTED}) >= 15


@pytest.mark.parametrize(("kind", "sound", "check"), PLANTED, ids=[f"{k.__name__}-{c}" for k, _, c in PLANTED])
def test_caught(kind, sound, check, case_of):
    CHECKS[check](case_of(sound))
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        CHECKS[check](case_of(kind))
