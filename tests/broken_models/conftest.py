"""Makes the contract importable and lends planted models a place in the registry."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contract"))
os.environ.setdefault("PALATE_PROGRESS", "quiet")


@pytest.fixture
def case_of(tmp_path, monkeypatch):
    """``case_of(kind)``: a case of a class that is in the registry during one test only."""
    import tiny_world
    from cases import Case

    from palate.contracts import models

    def find(kind):
        models.names()
        monkeypatch.setitem(models._known, kind.name, kind)
        folder = tmp_path / kind.__name__
        folder.mkdir()
        return Case(kind, folder)

    yield find
    # a planted model may have written into the shared data
    tiny_world.variant.cache_clear()
