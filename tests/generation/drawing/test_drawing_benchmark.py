"""Parts of the benchmark of drawn pictures that decide what is compared."""

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"


@pytest.fixture
def shop(monkeypatch):
    """The benchmark's module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    before = set(sys.modules)
    import _drawing_shop

    yield _drawing_shop
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


@pytest.mark.parametrize("place", range(6))
def test_a_product_photo_shows_the_place_of_its_category(shop, place):
    """A dot at the centre of the category's region stands in the middle of the photo, and is as bright."""
    category, size = shop.SHOP.categories[place].name, shop.SCENE
    x, y = (round((c + 1) * size / 2) for c in shop.REGIONS[place])
    scene = np.zeros((size, size, 3), np.uint8)
    scene[y - 2 : y + 2, x - 2 : x + 2] = 255
    photo = np.asarray(Image.open(io.BytesIO(shop.product_photo(scene, category))))
    assert photo.shape == (shop.SIDE, shop.SIDE, 3)
    rows, columns = np.nonzero(photo.max(2) > 200)
    # squares at the edge of the scene are moved inside: the dot is then a few pixels off the middle
    assert abs(rows.mean() - 15.5) < 3 and abs(columns.mean() - 15.5) < 3


def test_content_is_the_shape_and_style_the_favourites(shop):
    values = {"colour": ["blue", "red"], "pattern": ["dots", "plain"], "shape": ["disc", "star"]}
    found = {"colour": [[0.9, 0.1]], "pattern": [[0.3, 0.7]], "shape": [[0.2, 0.8]]}
    reader = shop.Reader(values, None)
    reader.read = lambda pixels: {column: np.array(some) for column, some in found.items()}
    item = {"colour": "red", "pattern": "dots", "shape": "star"}
    judge = shop.Judge(reader, [SimpleNamespace(item=item)], {"colour": ["blue"], "pattern": ["plain"]})
    scores = judge.scores(np.zeros((1, 3, 4, 4), np.uint8))
    assert scores["d_p"] == [0.8] and scores["d_t"] == [0.8] and scores["lost"] == [0.0]
    assert scores["z"] == [pytest.approx(np.log(0.8), abs=1e-4)]


def test_equal_content_is_met_between_two_weights_or_by_more_content(shop):
    def system(*pairs):
        return [{str(w): {"d_t": [d_t], "d_p": [d_p]} for w, (d_t, d_p) in enumerate(pairs)}]

    falling = system((0.8, 0.1), (0.6, 0.3), (0.2, 0.9))
    assert shop.at_level(falling, 0.7)[0, 0] == pytest.approx(0.2)
    assert shop.at_level(falling, 0.5)[0, 0] == pytest.approx(0.45)
    # never down at the level: its best counts, so that no baseline is left out
    assert shop.at_level(falling, 0.1)[0, 0] == pytest.approx(0.9)
    assert shop.at_level(falling, 0.85) is None
