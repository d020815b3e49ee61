"""Tiny models, made once."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "decoding"))


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """A folder with a tiny checkpoint of each kind, by name; made when first asked for."""
    import tiny_language_models

    root, made = tmp_path_factory.mktemp("checkpoints"), {}

    def folder(name: str) -> Path:
        if name not in made:
            made[name] = getattr(tiny_language_models, name)(root / name)
        return made[name]

    return folder
