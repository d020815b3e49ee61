"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

# what else keeps the processors busy is no fault of an example
settings.register_profile("palate", deadline=None)
settings.load_profile("palate")


@pytest.fixture(scope="session", autouse=True)
def no_fsync():
    """Files are not forced to disk: only a power failure would tell, and hundreds of saved runs would wait for it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
    """Encoded vectors go to a temporary folder, never to the cache of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PALATE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data():
    """``real_data(name)``: a folder of real data, or a skip that says where it was looked for."""

    def find(name: str) -> Path:
        given = os.environ.get("PALATE_DATA")
        root = Path(given) if given else Path(__file__).resolve().parents[2] / "shared" / "datasets"
        if not (root / name).exists():
            pytest.skip(f"real data {name!r} is not at {root} (set PALATE_DATA to the folder that holds it)")
        return root / name

    return find


@pytest.fixture(scope="session", autouse=True)
def built_in_pictures():
    """Pictures are read by the built-in descriptors unless a test names an encoder, whatever is installed here."""
    from palate.features import default_encoders

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(default_encoders.PACKAGES, "efficientnet_lite0", (("left_out_in_tests",), "pictures"))
        yield
