"""An error about the input shows the caller's line and the message, not the inside of the library."""

import traceback
from pathlib import Path

import numpy as np
import pytest

import palate
from palate.core.boundary import public
from palate.core.errors import ConfigError, DataError, PalateError

LIBRARY = str(Path(palate.__file__).parent)


def frames_inside(call) -> list[str]:
    """Frames of the library in the traceback that a user would see."""
    try:
        call()
    except PalateError as error:
        shown = "".join(traceback.format_exception(error))
        return [line for line in shown.splitlines() if LIBRARY in line]
    raise AssertionError("no error")


@pytest.fixture
def mistakes(frames, shop, ease):
    return [
        lambda: palate.load("no-such-folder"),
        lambda: palate.Dataset.from_frames(*frames, split="rendom"),
        lambda: palate.Dataset.from_frames(*frames, features={"image": np.zeros((2, 2))}),
        lambda: shop.with_split("rendom"),
        lambda: palate.models.BPR(dimm=8),
        lambda: palate.models.BPR().fit(shop, device="nowhere"),
        lambda: ease.recommend("nobody"),
        lambda: ease.recommend(),
        lambda: ease.predict("nobody", "i1"),
        lambda: ease.similar_items("nothing"),
        lambda: palate.restore("no-such-run"),
        lambda: palate.evaluate(palate.models.EASE(), shop),
        lambda: palate.compare(shop, ["esae"], "out"),
    ]


def test_only_the_edge_of_the_library_is_shown(mistakes, monkeypatch):
    monkeypatch.delenv("PALATE_DEBUG", raising=False)
    for mistake in mistakes:
        assert all("boundary.py" in line for line in frames_inside(mistake))


def test_all_frames_are_shown_where_that_is_wanted(mistakes, monkeypatch):
    monkeypatch.setenv("PALATE_DEBUG", "1")
    for mistake in mistakes:
        assert any("boundary.py" not in line for line in frames_inside(mistake))


def test_a_defect_keeps_its_traceback():
    @public
    def broken() -> None:
        raise KeyError("a defect")

    with pytest.raises(KeyError) as caught:
        broken()
    assert "broken" in [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]


def test_an_entry_point_keeps_its_name_and_text():
    assert palate.load.__name__ == "load" and "Read a data set" in palate.load.__doc__


def test_errors_are_those_of_before(shop, ease):
    with pytest.raises(DataError, match="nobody"):
        ease.recommend("nobody")
    with pytest.raises(ConfigError, match="dim"):
        palate.models.BPR(dimm=8)
