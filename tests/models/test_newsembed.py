"""NewsEmbed: mined triplets, both losses by hand, held-out items stay unseen, and vectors that tell sections."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from newsroom import COLD, ITEMS, READERS, as_saved, build, news, same_section, set_up

import palate
from palate.core.batch import ExampleBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.models.pretrain.shared.topics import item_labels, label_columns, number_columns, range_labels, topic_columns
from palate.models.pretrain.shared.triplets import hard_negatives, mine_pairs, same_label_pairs
from palate.training.pretrain import pretrain

WIDE = {"width": 8}


def test_items_of_the_same_topics_are_paired():
    labels = np.array([[1, 0], [1, 1], [1, 0], [0, 0], [1, 0], [0, 0]], bool)
    rng = np.random.default_rng(0)
    one, all_ = same_label_pairs(labels, 1, rng), same_label_pairs(labels, 9, rng)
    assert sorted(one[:, 0]) == [0, 2, 4]
    assert {tuple(pair) for pair in all_} == {(a, b) for a in (0, 2, 4) for b in (0, 2, 4) if a != b}
    assert len(same_label_pairs(labels[3:4], 2, rng)) == 0


def test_relations_between_items_are_pairs():
    model, view = set_up("newsembed", news(), **WIDE)
    found = mine_pairs(view, "relations", model.labels.numpy(), 5, np.random.default_rng(0))
    assert len(found) and set(found[:, 1] - found[:, 0]) == {4, 8}
    edges = dict(view.relations.edges)
    content = SimpleNamespace(relations=SimpleNamespace(edges={"knn_text": edges["read_with"]}))
    assert len(mine_pairs(content, "relations", model.labels.numpy(), 5, np.random.default_rng(0))) == 0


def test_hard_negatives_share_topics_and_are_no_partners():
    labels = np.zeros((40, 4), bool)
    labels[np.arange(40), np.arange(40) % 4] = True
    anchors, pool, rng = np.repeat(np.arange(40), 5), np.arange(4, 40), np.random.default_rng(0)
    partners = np.unique([a * 40 + (a + 4) % 40 for a in range(40)])
    found = hard_negatives(anchors, pool, partners, labels, 30, rng)
    assert (found % 4 == anchors % 4).mean() > 0.95
    assert not np.isin(anchors * 40 + found, partners).any() and (found != anchors).all() and (found >= 4).all()
    random = hard_negatives(anchors, pool, partners, labels, 1, rng)
    assert (random % 4 == anchors % 4)[random >= 0].mean() < 0.5
    assert (hard_negatives(anchors, pool, partners, labels, 0, rng) == -1).all()


def test_triplets_by_hand():
    """Anchors 0 and 1 with positives 2 and 3 and the hard negative 1 of anchor 0; 0 also belongs with 3."""
    model, _ = set_up("newsembed", news(), **WIDE, tau=0.5)
    model.positive_keys = np.array([0 * ITEMS + 2, 0 * ITEMS + 3, 1 * ITEMS + 3])
    cosines = torch.tensor([[0.9, 0.8, 0.3], [0.2, 0.6, 0.7]])
    found = model.triplets(cosines, torch.tensor([0, 1]), torch.tensor([2, 3, 1]))
    first = np.log1p(np.exp((0.3 - 0.9) / 0.5))
    second = np.log1p(np.exp((0.2 - 0.6) / 0.5))
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-4)


@pytest.mark.parametrize("setting", [{}, {"contrast": 0}, {"topics": 0}, {"hard": 0}])
def test_each_part_can_be_left_out(setting):
    model, view = set_up("newsembed", news(), **WIDE, **setting)
    rows = model.examples(view, RunContext())
    assert ((rows[:, 2] >= 0).any()) == (setting != {"hard": 0})
    terms = model.loss(ExampleBatch(torch.from_numpy(rows[:8])))
    assert set(terms) == {"loss", "contrast", "topics"} - set(setting)
    terms["loss"].backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("source", ["behaviour", "relations", "categories"])
def test_held_out_items_and_items_without_text_are_in_no_example(source):
    model, view = set_up("newsembed", news(silent=[4, 9]), **WIDE, sources=(source,))
    rows = model.examples(view, RunContext())
    assert len(model.eval_items) and not np.isin(rows, [*model.eval_items, 4, 9]).any()
    assert (
        np.isin(model.eval_pairs[:, 1], model.eval_items).all()
        and not np.isin(model.eval_pairs[:, 0], model.eval_items).any()
    )
    assert (rows[:, 0] % 4 == rows[:, 1] % 4).mean() > 0.9


def test_topics_are_repeating_words_not_numbers_or_names():
    data = news(COLD)
    frame = data.items.frame
    assert set(topic_columns(data.items)) == {"topics:section"}
    model, _ = set_up("newsembed", data, **WIDE)
    known = frame["section"].is_not_null().to_numpy() & data.split.visible_items
    assert np.array_equal(model.labels.any(1).numpy(), known) and model.labels.shape[1] == 4
    assert (model.labels.sum(1) <= 1).all()


def test_lists_of_names_that_repeat_are_topics_and_numbers_are_cut_into_ranges():
    columns = {"item": "id", "name": "text", "cast": "attributes", "code": "attributes", "year": "attributes"}
    rows = range(40)
    frame = pl.DataFrame(
        {
            "item": [f"i{i}" for i in rows],
            "name": [f"film {i}" for i in rows],
            "cast": [f"actor {i % 7}, actor {7 + i % 11}, double {i}" for i in rows],
            "code": [f"c{i}" for i in rows],
            "year": [None if i == 3 else 1950.0 + i for i in rows],
        }
    )
    log = pl.DataFrame({"user": [i % 5 for i in rows], "item": [f"i{i}" for i in rows]})
    items = palate.Dataset.from_frames(frame, log, columns=columns).items
    assert set(topic_columns(items)) == {"topics:cast"} and set(number_columns(items)) == {"numbers:year"}
    values = np.array([[1.0], [2], [3], [4], [0]], np.float32)
    present = np.array([True, True, True, True, False])
    found = range_labels({"numbers:year": Features(values, present), "topics:cast": Features(values, present)}, 2)
    assert list(found) == ["year"]
    assert set(label_columns(items, 0)) == set(topic_columns(items))
    assert set(label_columns(items, 2)) == {"topics:cast", "numbers:year"}
    fields = {"numbers:year": Features(values, present), "topics:cast": Features(values, present)}
    assert item_labels(fields, 5, 0).tolist() == [[True]] * 4 + [[False]] and item_labels({}, 5, 2).shape == (5, 0)
    assert item_labels(fields, 5, 2)[:, 1:].equal(found["year"])
    assert found["year"].tolist() == [[True, False], [True, False], [False, True], [False, True], [False, False]]


def test_vectors_tell_sections(tmp_path):
    data = news(COLD)
    model = build("newsembed", **WIDE, epochs=5)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    assert set(encoders) == {"text"} and same_section(encoders["text"], data) > 0.9
    assert 0 < model.validation_score() <= 1
    values, again, alone = as_saved(tmp_path / "out" / "text", encoders["text"], data)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_allclose(values, alone, atol=1e-5)


def test_unsuitable_data_are_refused():
    with pytest.raises(ConfigError, match="items with categories"):
        set_up("newsembed", news(sections=False))
    with pytest.raises(ConfigError, match="no pairs"):
        set_up("newsembed", news(clicks=False), sources=("relations",))
    with pytest.raises(ConfigError, match="both weights"):
        set_up("newsembed", news(), contrast=0, topics=0)
    model, _ = set_up("newsembed", news(sections=False), **WIDE, topics=0)
    assert len(model.pairs)
