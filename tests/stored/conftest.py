"""The stored outputs are of the tiny world of the contract tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
os.environ.setdefault("PALATE_PROGRESS", "quiet")


@pytest.fixture(scope="session")
def outputs_of(tmp_path_factory):
    """``outputs_of(name)``: what the model or pretrainer of that name gives today."""
    from stored_outputs import Outputs

    return Outputs(tmp_path_factory.mktemp("stored")).of
