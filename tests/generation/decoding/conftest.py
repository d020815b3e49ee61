"""Tiny models, made once."""

import pytest
import tiny_language_models

from palate.generation.backends.local_model import LocalModel


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    return LocalModel(tiny_language_models.llama(tmp_path_factory.mktemp("models") / "llama"), device="cpu")
