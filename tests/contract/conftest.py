"""Fixtures of the contract: one :class:`Case` a model for the whole session."""

from __future__ import annotations

import os

import pytest
from cases import Case

from palate.contracts import Model, models

os.environ.setdefault("PALATE_PROGRESS", "quiet")


@pytest.fixture(scope="session")
def case_of(tmp_path_factory):
    """``case_of(kind)``: the shared case of a model class or name."""
    made: dict[type[Model], Case] = {}

    def find(kind: type[Model] | str) -> Case:
        found = models.get(kind) if isinstance(kind, str) else kind
        if found not in made:
            made[found] = Case(found, tmp_path_factory.mktemp(found.name))
        return made[found]

    return find
