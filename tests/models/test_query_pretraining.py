"""PPM's encoders and Adapted CLIP: losses by hand, stages in turn, queries with and without words."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from taste import ITEMS, READERS, SMALL, colour_of, same_colour, shop

import palate
from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.data.relations import Edges, Relations
from palate.features.plan import ContentPlan
from palate.features.saved import load_encoder
from palate.features.store import FeatureStore
from palate.models.pretrain.shared.entities import entity_matrix
from palate.models.pretrain.shared.queries import Queries, false_negatives
from palate.modules.pair_reader import sample_pairs
from palate.training.pretrain import pretrain

BOTH = ("ppm", "adapted_clip")
SIZES = {**SMALL, "dim": 16, "layers": 1}


def searched(typed=True, **settings):
    """The shop of one colour a person; who takes an item has asked for its colour."""
    data = shop(**settings)
    log = data.interactions.frame
    asked = log.select(user=data.users.ids.ids.gather(log["user"]), item=data.items.ids.ids.gather(log["item"]))
    words = pl.Series([f"something {colour_of(item)}" for item in log["item"]])
    colours = np.arange(ITEMS) % 4
    edges = Edges(np.arange(ITEMS), colours, np.ones(ITEMS, np.float32), "hue", tuple("abcd"))
    found = palate.Dataset.from_frames(
        data.items.frame,
        asked,
        columns={"item": "id", **data.items.kinds},
        split=data.spec,
        relations=Relations({**data.relations.edges, "has_hue": edges}),
        searches=asked.with_columns(query=words) if typed else None,
    )
    return found


def view_of(data):
    plan = {m: (m, spec, None) for m, spec in READERS.items() if m in data.items.modalities}
    return ContentPlan(plan, FeatureStore(None)).view(data.select_view(), data, queries=True)


def set_up(name, view=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get(name)(**{**SIZES, **settings})
    model.setup(view or view_of(searched()), RunContext())
    return model.eval()


def all_rows(model):
    return ExampleBatch(torch.from_numpy(model.examples(None, RunContext())))


def test_queries_are_what_was_typed_or_the_text_of_the_item_before():
    view = view_of(searched())
    typed, before = Queries(view, "auto", "x", 0), Queries(view, "next", "x", 0)
    assert typed.typed and not before.typed and not Queries(view_of(searched(typed=False)), "auto", "x", 0).typed
    assert set(typed.pairs[:, 1]) <= set(view.items) and len(np.unique(typed.pairs, axis=0)) == len(typed.pairs)
    words = view.searches.queries.raw("text")
    assert all(words[query] == f"something {colour_of(item)}" for query, item in typed.pairs)
    assert all(query % 4 == item % 4 for query, item in before.pairs)
    some = np.arange(ITEMS) < 30
    assert (before.pairs_between(some, ~some)[:, 0] < 30).all() and (
        before.pairs_between(some, ~some)[:, 1] >= 30
    ).all()
    with pytest.raises(ConfigError, match="no searches"):
        Queries(view_of(searched(typed=False)), "typed", "x", 0)


def test_entities_are_targets_of_relations_or_words():
    view = view_of(searched())
    hues = entity_matrix(view, "auto", "x")
    assert hues.shape == (ITEMS, 4)
    assert (hues.sum(1)[view.visible_items] == 1).all() and not hues.sum(1)[~view.visible_items].any()
    words = entity_matrix(view, "words", "x")
    assert words.shape[1] >= 4 and words.sum(0).min() >= 2 and words.sum(0).max() <= view.visible_items.sum() / 2
    with pytest.raises(ConfigError, match="found no entities"):
        entity_matrix(replace(view, relations=Relations()), "relations", "x")


def test_rows_of_the_same_words_or_item_are_false_negatives():
    words, items = torch.tensor([[1, 2], [1, 2], [3, 0]]), torch.tensor([7, 8, 8])
    assert false_negatives(words, items).tolist() == [[True, True, False], [True, True, True], [False, True, True]]


def test_drawn_pairs_are_allowed_and_even():
    torch.manual_seed(0)
    allowed = torch.tensor([[False, True, True], [False, False, False], [True, True, True]])
    drawn = [sample_pairs(allowed, 1) for _ in range(300)]
    assert all(rows.tolist() == [0, 2] and allowed[rows, columns].all() for rows, columns in drawn)
    assert abs(np.mean([int(columns[0]) == 1 for _, columns in drawn]) - 0.5) < 0.1
    assert len(sample_pairs(allowed, 5)[0]) == 5


def test_query_matching_by_hand():
    """Three queries of two items: the same words and the same item are no negatives."""
    model = set_up("ppm", tau=0.5)
    ids, items = torch.tensor([[2, 5, 3], [2, 5, 3], [2, 6, 3]]), torch.tensor([0, 1, 1])
    with torch.no_grad():
        q, t = model.vectors("text", ids), model.vectors("text", model.inputs.read("text", items))
        s = q @ t.T / 0.5
        rows = torch.stack([s[0, 2].exp() + s[0, 0].exp(), s[1, 1].exp(), s[2, 0].exp() + s[2, 2].exp()]).log()
        columns = torch.stack([s[2, 0].exp() + s[0, 0].exp(), s[1, 1].exp(), s[0, 2].exp() + s[2, 2].exp()]).log()
        expected = ((rows - s.diagonal()).mean() + (columns - s.diagonal()).mean()) / 2
        assert float(model.matching(ids, items)) == pytest.approx(float(expected), rel=1e-4)


def test_entity_prediction_by_hand():
    model = set_up("ppm", tau=0.25)
    items = torch.from_numpy(model.entity_items[:2])
    with torch.no_grad():
        model.bias.copy_(torch.tensor([0.1, 0.0, -0.2, 0.3]))
        seen = model.vectors("image", model.inputs.read("image", items))
        logits = 4 * seen @ F.normalize(model.directions, dim=1).T + model.bias
        expected = F.cross_entropy(logits, items % 4)
        assert float(model.prediction(items)) == pytest.approx(float(expected), rel=1e-4)


def test_halves_of_ppm_are_apart():
    view = view_of(searched())
    for off, other in (("matching", "prediction"), ("prediction", "matching")):
        model = set_up("ppm", view, **{off: False})
        assert set(model.loss(all_rows(model))) == {"loss", other}
        model.loss(all_rows(model))["loss"].backward()
        silent = model.parts["text" if off == "matching" else "image"]
        assert all(p.grad is None for p in silent.parameters()) and 0 <= model.validation_score() <= 1
    with pytest.raises(ConfigError, match="matching or prediction"):
        set_up("ppm", view, matching=False, prediction=False)


def test_the_base_reads_pairs_by_hand():
    model = set_up("adapted_clip", tau=0.5)
    items = torch.from_numpy(model.train_items[:2])
    assert not torch.equal(*model.ids(items))
    batch = ExampleBatch(torch.stack([torch.full((2,), -1), items], 1))
    with torch.no_grad():
        words = model.base.read("text", model.ids(items))
        regions = model.base.read("image", model.inputs.read("image", items))
        cosines = model.base.vector("text", words) @ model.base.vector("image", regions).T
        labels = torch.arange(2)
        itc = (F.cross_entropy(cosines * 2, labels) + F.cross_entropy(cosines.T * 2, labels)) / 2

        def logit(i, j):
            tokens = [(words[0][[i]], words[1][[i]]), (regions[0][[j]], regions[1][[j]])]
            return model.base.match(model.base.fusion(tokens)[0][:, 0])[0, 0]

        right = F.softplus(-logit(0, 0)) + F.softplus(-logit(1, 1))
        wrong = 2 * F.softplus(logit(0, 1)) + 2 * F.softplus(logit(1, 0))
        out = model.base_loss(batch)
    assert float(out["itc"]) == pytest.approx(float(itc), rel=1e-4)
    assert float(out["itm"]) == pytest.approx(float((right + wrong) / 6), rel=1e-4)
    assert float(out["loss"]) == pytest.approx(float(out["itc"] + out["itm"] + out["mlm"]), rel=1e-5)


def test_scores_are_distilled_by_hand():
    model = set_up("adapted_clip", rivals=1)
    items, cosines = (
        torch.from_numpy(model.train_items[:3]),
        torch.tensor([[0.1, 0.5, 0.2], [0.0, 0.3, 0.4], [0.9, 0, 0]]),
    )
    ids, pictures = model.queries.ids(torch.zeros(3, dtype=torch.int64)), model.inputs.read("image", items)
    with torch.no_grad():
        model.steep.fill_(2.0), model.shift.fill_(-1.0)
        teacher = model.relevance
        words, regions = teacher.read("text", ids), teacher.read("image", pictures)
        total = 0.0
        for i, j in ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 0)):
            tokens = [(part[0][[k]], part[1][[k]]) for part, k in ((words, i), (regions, j))]
            chance, logit = teacher.match_logits(*tokens).sigmoid()[0], 2 * cosines[i, j] - 1
            total += chance * F.softplus(-logit) + (1 - chance) * F.softplus(logit)
        assert float(model.distillation(cosines, ids, pictures)) == pytest.approx(float(total / 6), rel=1e-4)


def test_the_relevance_model_starts_from_the_base_once_and_stands_still_later():
    model = set_up("adapted_clip")
    batch = all_rows(model)
    with torch.no_grad():
        model.base.match.weight.add_(1.0)
    model.relevance_loss(batch)["loss"].backward()
    assert torch.equal(model.relevance.match.weight, model.base.match.weight) and bool(model.copied)
    assert all(p.grad is None for p in model.base.parameters())
    with torch.no_grad():
        model.base.match.weight.add_(1.0)
    model.relevance_loss(batch)
    assert not torch.equal(model.relevance.match.weight, model.base.match.weight)
    model.zero_grad()
    model.train()
    model.retrieval_loss(batch)["loss"].backward()
    assert all(p.grad is None for p in model.relevance.parameters()) and not model.relevance.training
    assert model.base.part("image")["head"].weight.grad.any() and model.steep.grad


def test_stages_can_be_left_out_at_the_same_budget():
    view = view_of(searched())
    phases = set_up("adapted_clip", view, epochs=3).phases()
    assert [(p.name, p.epochs, p.validate) for p in phases] == [
        ("base", 3, True),
        ("relevance", 3, False),
        ("retrieval", 3, True),
    ]
    model = set_up("adapted_clip", view, epochs=3, stages=("retrieval", "base"))
    assert [(p.name, p.epochs) for p in model.phases()] == [("base", 3), ("retrieval", 6)]
    assert set(model.retrieval_loss(all_rows(model))) == {"loss", "itc"}
    whole = set_up("adapted_clip", view)
    assert set(whole.retrieval_loss(all_rows(whole))) == {"loss", "itc", "kd"}
    assert "kd" not in set_up("adapted_clip", view, distil=0).retrieval_loss(all_rows(whole))


@pytest.mark.parametrize("typed", [True, False])
@pytest.mark.parametrize("name", BOTH)
def test_held_out_items_are_in_no_example(name, typed):
    model = set_up(name, view_of(searched(typed=typed)))
    kept = model.held_out.eval_items if name == "ppm" else model.eval_items
    rows = model.examples(None, RunContext())
    assert len(kept) and not np.isin(rows[:, 1], kept).any()
    assert len(model.eval_pairs) and np.isin(model.eval_pairs[:, 1], kept).all()
    if not typed:
        assert not np.isin(rows[:, 0], kept).any() and not np.isin(model.eval_pairs[:, 0], kept).any()


@pytest.mark.parametrize("name", BOTH)
def test_missing_content_and_small_batches_are_normal(name):
    model = set_up(name, view_of(searched(titled=False)))
    rows = all_rows(model).rows
    phases = [phase.loss for phase in model.phases()]
    for part in (rows, rows[:1], rows[-1:], rows[rows[:, 0] >= 0][:2], rows[rows[:, 0] < 0][:1]):
        for loss in phases:
            model.zero_grad()
            found = loss(ExampleBatch(part))["loss"]
            found.backward()
            assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", BOTH)
def test_data_without_what_is_needed_are_refused(name):
    with pytest.raises(ConfigError, match="items with image"):
        set_up(name, view_of(searched(photos=False)))
    with pytest.raises(ConfigError, match="no searches"):
        set_up(name, view_of(searched(typed=False)), queries="typed")


@pytest.mark.parametrize("name", BOTH)
def test_encoders_learn_and_are_restored(name, tmp_path):
    data = searched()
    model = pretrainers.get(name)(**SIZES, epochs=8 if name == "ppm" else 3)
    encoders = pretrain(model, data, tmp_path / name, readers=READERS, device="cpu")
    photos, titles = data.items.raw("image"), ["something red", "a blue lamp", "an unheard word zzz"]
    assert same_colour(encoders["image"], photos, [colour_of(i) for i in range(ITEMS)]) > 0.7
    for modality, raws in (("image", photos[:3]), ("text", titles)):
        again = load_encoder(tmp_path / name / modality)
        found = again.encode([*raws, None])
        assert found.present.tolist() == [True] * 3 + [False]
        np.testing.assert_array_equal(found.values, encoders[modality].encode([*raws, None]).values)
        np.testing.assert_allclose(again.encode(raws[:1]).values, found.values[:1], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found.values[:3], axis=1), 1, atol=1e-5)
