"""CB2CF's siamese form and ItemSage: pairs and losses by hand, held-out items unseen, content finds its partners."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
import torch
from taste import ITEMS, READERS, build, colour_of, same_colour, set_up, shop, view_of

from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.data.query_log import SearchTable, build_query_log
from palate.features.encoders.tower import vectors_of
from palate.features.plan import ContentPlan
from palate.features.saved import load_encoder
from palate.features.store import FeatureStore
from palate.losses.pointwise import calibrated_cosine
from palate.models.pretrain.shared.held_out import reciprocal_rank
from palate.models.pretrain.shared.interactions import neighbour_pairs, next_pairs
from palate.training.pretrain import pretrain

BOTH = ("cb2cf_siamese", "itemsage")


def test_neighbours_are_the_best_cosines():
    matrix = sp.csr_array(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0.0]]))
    found = neighbour_pairs(matrix, 1)
    assert found.tolist() == [[0, 1], [1, 0], [2, 0]]
    assert {tuple(pair) for pair in neighbour_pairs(matrix, 3)} == {(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)}


def test_the_next_item_follows_in_time():
    view = view_of(shop(times=True))
    pairs = {tuple(pair) for pair in next_pairs(view, np.random.default_rng(0))}
    for user in range(3):
        mine = view.users == user
        path = view.items[mine][np.argsort(view.times[mine])]
        assert set(pairwise(path)) <= pairs


def test_the_siamese_loss_by_hand():
    pos, neg = torch.tensor([0.9]), torch.tensor([[0.1, 0.8]])
    mask = torch.tensor([[True, False]])
    found = calibrated_cosine(pos, neg, torch.tensor(2.0), torch.tensor(-1.0), mask)
    assert float(found) == pytest.approx((np.log1p(np.exp(-0.8)) + np.log1p(np.exp(-0.8))) / 2, abs=1e-6)


def test_reciprocal_ranks_count_ties_against_the_model():
    candidates = torch.tensor([[1.0, 0], [0, 1], [0, 1]])
    assert reciprocal_rank(torch.eye(2), candidates, torch.tensor([0, 1])) == pytest.approx((1 + 1 / 2) / 2)
    assert np.isnan(reciprocal_rank(candidates[:0], candidates, torch.tensor([], dtype=torch.int64)))


@pytest.mark.parametrize("softmaxes", ["both", "batch", "random", "mixed"])
def test_the_softmaxes_of_itemsage_by_hand(softmaxes):
    """Two pairs (0, 1), (2, 0) and one random product 1: the second query sees both others, the first sees none."""
    model, _ = set_up("itemsage", shop(), softmaxes=softmaxes, tau=0.5)
    scores = torch.tensor([[0.3, 0.9, 0.3], [0.2, 0.6, 0.2]])
    log_q, uniform = model.log_chance, -np.log(len(model.pool))
    terms = model.terms(scores, torch.tensor([[0, 1], [2, 0]]), torch.tensor([1, 0, 1]))
    own, batch, drawn = 1.2 - float(log_q[0]), 0.4 - float(log_q[1]), 0.4 - uniform
    near = np.log1p(np.exp(batch - own)) / 2
    far = np.log1p(np.exp(drawn - (1.2 - uniform))) / 2
    union = np.log1p(np.exp(batch - own) + np.exp(drawn - own)) / 2
    wanted = {"both": near + far, "batch": near, "random": far, "mixed": union}[softmaxes]
    assert float(terms["loss"]) == pytest.approx(wanted, abs=1e-4)


def test_tasks_have_equal_shares_and_can_be_chosen():
    data = shop()
    model, view = set_up("itemsage", data)
    assert set(model.tasks) == {"next", "bought_with"}
    assert len(model.examples(view, RunContext())) == 2 * model.size
    one, _ = set_up("itemsage", data, tasks=("bought_with",))
    assert len(one.examples(view, RunContext())) == len(model.examples(view, RunContext()))
    assert set(one.tasks) == {"bought_with"} and (np.diff(one.tasks["bought_with"]) % 4 == 0).all()
    with pytest.raises(ConfigError, match="no such task"):
        set_up("itemsage", data, tasks=("bought_wiht",))


def typed_view():
    """People typed the colour they wanted; the view that :data:`READERS` make of it, and one of frozen vectors."""
    data = shop()
    log = data.interactions.frame.select("user", "item")
    words = pl.Series([f"a {colour_of(item)} thing" for item in log["item"]])
    data = replace(data, searches=build_query_log([SearchTable(log.with_columns(query=words))]))
    plans = (READERS, {"image": "image_stats", "text": "hash?dim=64"})
    made_of = [ContentPlan({m: (m, spec, None) for m, spec in plan.items()}, FeatureStore(None)) for plan in plans]
    return [content.view(data.select_view(), data, queries=True) for content in made_of]


def test_what_people_typed_is_a_task_of_itemsage():
    view, _ = typed_view()
    torch.manual_seed(0)
    model = build("itemsage", tasks=("search", "next"), modality_dropout=0).eval()
    model.setup(view, RunContext())
    model.eval()
    asked, given = model.tasks["search"].T
    assert (asked >= ITEMS).all() and np.isin(given, model.held_out.train_items).all()
    assert (
        not np.isin(model.examples(view, RunContext()), model.held_out.eval_items).any()
        and 0 < model.validation_score() <= 1
    )
    rows = torch.tensor([int(asked[0]), int(given[0]), int(asked[0])])
    with torch.no_grad():
        found = model.encode(rows)
        said = model.queries.ids(rows[:1] - ITEMS)
        alone = vectors_of(model.views.part("text"), said.float())
        torch.testing.assert_close(found, torch.cat([alone, model.encode(rows[1:2]), alone]))
    model.train()
    model.loss(ExampleBatch(torch.from_numpy(model.examples(view, RunContext())[:8])))["loss"].backward()


@pytest.mark.parametrize("frozen", [False, True])
def test_products_are_shown_in_chosen_modalities_while_queries_stay_words(frozen):
    view = typed_view()[frozen]
    torch.manual_seed(0)
    model = build("itemsage", modalities=("image",), modality_dropout=0)
    model.setup(view, RunContext())
    model.eval()
    assert set(model.tasks) == {"next", "bought_with", "search"} and set(model.views.modalities) == {"image", "text"}
    column = model.views.modalities.index("text")
    assert not model.views.presence[:, column].any()
    rows = torch.from_numpy(model.held_out.train_items[:4])
    with torch.no_grad():
        before = model.encode(rows)
        model.views.heads["text"].weight.add_(1)
        torch.testing.assert_close(model.encode(rows), before)
        assert bool(model.encode(torch.from_numpy(model.tasks["search"][:2, 0])).isfinite().all())
    quiet = build("itemsage", modalities=("image",), tasks=("next",))
    quiet.setup(view, RunContext())
    assert quiet.views.modalities == ("image",)


def test_random_negatives_come_from_the_whole_catalogue():
    view = view_of(shop())
    lonely = int(view.items[0])
    keep = view.items != lonely
    edges = type(view.relations)()
    view = replace(view, users=view.users[keep], items=view.items[keep], times=None, relations=edges)
    model = build("itemsage")
    model.setup(view, RunContext())
    assert (
        lonely in model.pool
        and lonely not in model.held_out.train_items
        and not np.isin(model.pool, model.held_out.eval_items).any()
    )


def test_frozen_vectors_are_read_and_leave_encoders_behind(tmp_path):
    data = shop()
    readers = {"image": "image_stats", "text": "hash?dim=64"}
    encoders = pretrain(build("itemsage", epochs=5, batch_size=64, random=16), data, tmp_path / "out", readers=readers)
    raws = data.items.raw("image")
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.8
    with pytest.raises(ConfigError, match="not vectors"):
        pretrain(build("clip", epochs=1), data, tmp_path / "clip", readers=readers)
    for modality in readers:
        again, some = load_encoder(tmp_path / "out" / modality), data.items.raw(modality)[:5]
        np.testing.assert_array_equal(again.encode(some).values, encoders[modality].encode(some).values)


def test_neighbours_have_no_direction_and_can_be_dealt_at_random():
    model, _ = set_up("cb2cf_siamese", shop(), neighbours=1)
    keys = model.pairs @ np.array([ITEMS, 1])
    back = model.pairs[:, ::-1] @ np.array([ITEMS, 1])
    assert set(keys) | set(back) == set(model.positive_keys)
    whole, _ = set_up("cb2cf_siamese", shop())
    dealt, _ = set_up("cb2cf_siamese", shop(), shuffled=True)
    assert len(whole.pairs) == len(dealt.pairs) and np.array_equal(whole.eval_pairs, dealt.eval_pairs)
    assert np.isin(dealt.pairs, dealt.held_out.train_items).all()
    assert (np.diff(whole.pairs) % 4 == 0).all() and (np.diff(dealt.pairs) % 4 == 0).mean() < 0.5


@pytest.mark.parametrize("name", BOTH)
def test_held_out_items_are_in_no_example(name):
    model, view = set_up(name, shop())
    assert (
        len(model.held_out.eval_items)
        and not np.isin(model.examples(view, RunContext()), model.held_out.eval_items).any()
    )
    assert len(model.eval_pairs) and np.isin(model.eval_pairs[:, 1], model.held_out.eval_items).all()
    assert not np.isin(model.eval_pairs[:, 0], model.held_out.eval_items).any()


@pytest.mark.parametrize("name", BOTH)
def test_content_finds_its_partners(name, tmp_path):
    data = shop(titled=False)
    model = build(name, epochs=5, batch_size=64, random=16) if name == "itemsage" else build(name, epochs=5)
    encoders = pretrain(model, data, tmp_path / name, readers=READERS)
    raws = data.items.raw("image")
    assert set(encoders) == {"image", "text"}
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.8
    again = load_encoder(tmp_path / name / "image")
    np.testing.assert_array_equal(again.encode(raws[:5]).values, encoders["image"].encode(raws[:5]).values)
    pairs = ExampleBatch(torch.from_numpy(model.held_out.train_items[:4].reshape(2, 2)))
    assert bool(model.loss(pairs)["loss"].isfinite())


@pytest.mark.parametrize("name", BOTH)
def test_people_who_took_one_item_each_teach_nothing(name):
    view = view_of(shop())
    first = np.unique(view.users, return_index=True)[1]
    lonely = replace(
        view, users=view.users[first], items=view.items[first], times=None, relations=type(view.relations)()
    )
    with pytest.raises(ConfigError, match=r"took several items|no pairs|at least 2"):
        build(name).setup(lonely, RunContext())
