"""Content kernel: equations by hand on three items, kinds of blocks, new items, new visitors."""

import numpy as np
import polars as pl
import pytest
import tiny_view
import torch
from tiny_view import RUN

from palate.core.batch import RaggedArray, UserBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.data.relations import Relations
from palate.data.views import TrainView
from palate.features.plan import plan_content
from palate.models.match.content_kernel import ContentKernel
from palate.models.match.content_kernel.blocks import Block, exponentiate, group_of, kind_of

SETTINGS = dict(sharpness=2.0, ridge=0.3, l2=1.5, mix=0.2, popularity=0.15)


def unit(x):
    norm = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(norm > 0, x / np.maximum(norm, 1e-30), 0)


def three_items(values, present=(True, True, True)):
    y = np.array([[1, 1, 0], [0, 1, 1], [1, 0, 0], [0, 1, 0]], np.float64)
    users, items = y.nonzero()
    view = TrainView(4, 3, users, items, None, np.ones(3, bool), Relations())
    text = Features(np.asarray(values, np.float32), np.array(present), identity="vectors")
    return y, view.with_features({"text": text})


def fitted(view, **changes):
    model = ContentKernel(**{**SETTINGS, **changes})
    model.setup(view, RunContext())
    assert model.solve(view, RUN)
    return model


def by_hand(y, similarity, cross=None):
    s = SETTINGS
    gram = y.T @ y + s["l2"] * np.eye(y.shape[1])
    p = np.linalg.inv(gram)
    ease = np.eye(len(p)) - p / np.diag(p)[None]
    np.fill_diagonal(ease, 0)
    head = unit(unit(y @ ease) + s["mix"] * unit(y)) + s["popularity"] * unit(y.sum(0))
    kernel = np.exp(s["sharpness"] * (similarity - 1))
    out = np.linalg.solve(kernel + s["ridge"] * np.eye(len(kernel)), kernel if cross is None else cross)
    return head @ out


def test_scores_follow_the_equations():
    values = np.array([[3.0, 0.0], [1.0, 2.0], [-1.0, 1.0]])
    y, view = three_items(values)
    centred = unit(values - values.mean(0))
    scores = fitted(view).scorer().score(view.user_batch(np.arange(4)))
    np.testing.assert_allclose(scores.numpy(), by_hand(y, centred @ centred.T), atol=2e-5)


def test_a_new_item_is_scored_by_its_kernel_row():
    values = np.array([[3.0, 0.0], [1.0, 2.0], [-1.0, 1.0]])
    y, view = three_items(values)
    model = fitted(view)
    before = model.scorer().score(view.user_batch(np.arange(4)))
    more = np.vstack([values, [2.0, -1.0]]).astype(np.float32)
    model.update_items(ItemFeatures.of({"text": Features(more, np.ones(4, bool))}, 4))
    after = model.scorer().score(view.user_batch(np.arange(4)))
    torch.testing.assert_close(after[:, :3], before)
    centred, fresh = unit(values - values.mean(0)), unit(more[3:] - values.mean(0))
    cross = np.exp(SETTINGS["sharpness"] * (centred @ fresh.T - 1))
    np.testing.assert_allclose(after[:, 3:].numpy(), by_hand(y, centred @ centred.T, cross), atol=2e-5)


def test_an_item_without_content_is_like_others_without_and_not_scorable():
    values = np.array([[3.0, 0.0], [1.0, 2.0], [9.0, 9.0]])
    y, view = three_items(values, (True, True, False))
    model = fitted(view)
    centred = unit(values[:2] - values[:2].mean(0))
    similarity = np.eye(3)
    similarity[:2, :2] = centred @ centred.T
    scores = model.scorer().score(view.user_batch(np.arange(4)))
    np.testing.assert_allclose(scores.numpy(), by_hand(y, similarity), atol=2e-5)
    assert model.scorer().scorable().tolist() == [True, True, False]


def test_a_visitor_is_an_ordinary_user():
    _, view = three_items([[3.0, 0.0], [1.0, 2.0], [-1.0, 1.0]])
    scorer = fitted(view).scorer()
    visitor = UserBatch(np.array([-1]), RaggedArray.of([[0, 1]]))
    torch.testing.assert_close(scorer.score(visitor), scorer.score(view.user_batch(np.array([0]))))
    nobody = scorer.score(UserBatch(np.array([-1]), RaggedArray.of([[]])))
    assert torch.isfinite(nobody).all() and nobody.abs().sum() > 0, "popularity alone"


def test_kinds_of_blocks():
    wide = Features(np.ones((3, 4), np.float32), np.ones(3, bool), identity="minilm@1")
    assert kind_of("text", wide) == "cosine" and kind_of("image", wide) == "descriptor"
    assert kind_of("number_price", Features(np.ones((3, 1), np.float32), np.ones(3, bool))) == "number"
    assert kind_of("words", Features(wide.values, wide.present, identity="tfidf@1-x")) == "sparse"
    assert [group_of(name) for name in ("image.clip", "audio", "words_title")] == ["image", "audio", "base"]


def block(kind, values):
    found = Features(np.asarray(values, np.float32), np.ones(len(values), bool))
    made, rows = Block(kind, found.dim), np.arange(len(values))
    made.fit(found, rows)
    read = made.read(found, rows)
    return made.similarity(read, read).numpy()


def test_similarity_of_numbers_and_descriptors():
    x = np.array([1.0, 2.0, 5.0])
    apart = (x[:, None] - x[None]) / (x.std(ddof=1) / 2)
    np.testing.assert_allclose(block("number", x[:, None]), np.exp(-0.5 * apart**2), atol=1e-5)
    z = np.random.default_rng(0).normal(size=(5, 3))
    scaled = (z - z.mean(0)) / z.std(0, ddof=1)
    squared = np.square(scaled[:, None] - scaled[None]).sum(-1)
    off = np.sort(squared[~np.eye(5, dtype=bool)])
    np.testing.assert_allclose(block("descriptor", z), np.exp(-squared / off[(len(off) - 1) // 2]), atol=1e-4)


def test_similarity_of_words_is_not_centred():
    words = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    np.testing.assert_allclose(block("sparse", words), unit(words) @ unit(words).T, atol=1e-6)


def test_the_exponential_multiplies_groups():
    means = {"base": torch.tensor([[0.5]]), "image": torch.tensor([[0.2]]), "audio": torch.tensor([[0.9]])}
    found = exponentiate(means, {"base": 2.0, "image": 0.6, "audio": 0.0})
    assert float(found) == pytest.approx(np.exp(2.0 * -0.5 + 0.6 * -0.8))
    assert float(means["base"]) == 0.5, "the means are used again"
    with pytest.raises(ValueError, match="weight 0"):
        exponentiate(means, {})


def test_settings_are_chosen_on_items_held_out_and_all_are_named():
    train = tiny_view.view(absent=())
    model = ContentKernel(sharpness_grid=(2.0,), ridge_grid=(0.3, 0.1), l2_grid=(10.0,), media_grid=(0.0, 0.3))
    model.setup(train, RunContext())
    model.solve(train, RUN)
    chosen = model.selected_settings()
    assert set(chosen) == {"sharpness", "media", "ridge", "l2", "mix", "popularity"}
    again = model.clone(chosen)
    assert again.setup(train, RunContext()) is None and again._given() is not None


def test_data_without_content_are_refused():
    _, view = three_items([[3.0, 0.0], [1.0, 2.0], [-1.0, 1.0]], (False, False, False))
    with pytest.raises(ConfigError, match="no content feature"):
        fitted(view)


def test_a_restored_run_answers_from_the_stored_table(tmp_path, monkeypatch):
    """Alone and as a member of a blend: nothing of the kernel is computed, and scores have the same bits."""
    import palate
    from palate.models.match.content_kernel import table

    rng = np.random.default_rng(0)
    items = pl.DataFrame(
        {"item": [f"i{row}" for row in range(20)], "title": [f"red lamp {row % 7} {row % 3}" for row in range(20)]}
    )
    log = pl.DataFrame(
        {"user": [f"u{row % 9}" for row in range(80)], "item": [f"i{n}" for n in rng.integers(0, 20, 80)]}
    )
    data = palate.Dataset.from_frames(items, log.unique(maintain_order=True), columns={"item": "id", "title": "text"})
    content = plan_content(data, {"text": "tfidf?min_df=1"})
    for model in (palate.models.ContentKernel(), palate.models.Blend(members=("content_kernel", "popularity"))):
        run = model.fit(data, content=content).save(tmp_path / model.name)
        before = model.recommend(["u1", "u2"], k=20)
        with monkeypatch.context() as patch:
            patch.setattr(table, "item_columns", None)
            restored = palate.restore(run)
            assert restored.recommend(["u1", "u2"], k=20).equals(before)
        restored.add_items(pl.DataFrame({"item": ["new"], "title": ["red lamp 9"]}))
        assert "new" in restored.recommend("u1", k=21)["item"].to_list()


def test_vectors_of_networks_are_compared_by_angle_and_descriptors_by_distance():
    from palate.models.match.content_kernel.blocks import kind_of

    wide = np.ones((3, 4), np.float32)
    kinds = {name: kind_of("image", Features(wide, identity=f"{name}@1")) for name in ("efficientnet_lite0", "conse")}
    assert set(kinds.values()) == {"cosine"}
    assert kind_of("image", Features(wide, identity="image_stats@1")) == "descriptor"
    assert kind_of("image", Features(wide, identity="given")) == "descriptor"
