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
    def reached(level):
        d_t, d_p = {"0": 0.8, "1": 0.6, "2": 0.2}, {"0": 0.1, "1": 0.3, "2": 0.9}
        parts = ({w: np.full((1, 2), value) for w, value in each.items()} for each in (d_t, d_p))
        shares = shop.mixture(*parts, level)
        return None if shares is None else sum(share * d_p[w] for w, share in shares.items())

    assert reached(0.7) == pytest.approx(0.2)
    assert reached(0.5) == pytest.approx(0.45)
    # never down at the level: its best counts, so that no baseline is left out
    assert reached(0.1) == pytest.approx(0.9)
    assert reached(0.85) is None


def test_weights_are_chosen_on_other_users(shop):
    """One weight suits one user alone: whoever chose by that user's own score would gain by chance."""
    n = 2 * shop.FOLDS
    chance = [{str(w): {"d_p": np.eye(n)[w].tolist(), "d_t": [0.5] * n, "z": np.eye(n)[w].tolist()} for w in range(n)}]
    d_p, d_t = shop.at_level(chance, 0.4)
    assert d_p.mean() == 0 and d_t.mean() == 0.5
    best = shop.interior(chance)
    assert best["above the ends"]["0"][0] == pytest.approx(-1 / n) and len(best["best"]) > 1
    assert shop.at_level(chance, 0.6) is None


def test_levels_are_corrected_for_all_comparisons_of_a_form(shop, monkeypatch):
    rng, n = np.random.default_rng(0), 40

    def system(gain):
        return [
            {str(w): {"d_p": (0.3 + gain * w + rng.normal(0, 0.1, n)).tolist(), "d_t": [0.9 - 0.1 * w] * n}
             for w in (1, 2, 4)} for _ in range(3)
        ]  # fmt: skip

    found = {"none": system(0), "Textual Inversion": system(0), shop.HARD: system(0.0), "PMG": system(0.02)}
    raw, corrected = [], []
    monkeypatch.setattr(shop, "holm", lambda p: raw.append(list(p)) or corrected.append(len(p)) or p)
    rows = shop.levels(found)
    assert corrected == [2 * len(rows), 3 * len(rows)] and rows[0]["d_t of none"] >= rows[0]["d_t asked for"]
