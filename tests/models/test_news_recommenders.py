"""Equations of news recommenders by hand, on twelve articles with titles that say their topic."""

from functools import cache

import numpy as np
import polars as pl
import pytest
import torch

import palate
import palate.contracts.ranker as contract
from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.evaluation.tasks.rank import predict
from palate.features.impression_cards import CROP, draw_card
from palate.features.item_words import WordVocabulary
from palate.models.rank.news.ebnr import category_triplets
from palate.models.rank.news.gerl import nearest
from palate.models.rank.news.imrec import Gate
from palate.models.rank.news.mm_rec import regions_of
from palate.modules.article_parts import AttentivePool, SelfAttention, WordConvolution, candidate_pool, run_recurrent
from palate.training.fit import fit

TOPICS = ("rowing medal", "opera stage", "comet orbit")
SMALL = {"dim": 4, "epochs": 1, "batch_size": 16, "lr": 0.01, "title_words": 4, "body_words": 4, "longest": 3}


@cache
def papers() -> Dataset:
    rng = np.random.default_rng(3)
    items = pl.DataFrame(
        {
            "id": [f"n{row}" for row in range(12)],
            "title": [f"The {TOPICS[row % 3]} {row}" if row != 11 else None for row in range(12)],
            "abstract": [f"of {TOPICS[row % 3]}" for row in range(12)],
            "topic": [f"t{row % 3}" for row in range(12)],
        }
    )
    rows = [
        (f"u{user}", f"n{item}", 100 * number + user, int(item % 3 == user % 3), f"{user}-{number}")
        for user in range(6)
        for number in range(6)
        for item in rng.permutation(11)[:4]
    ]
    log = pl.DataFrame(rows, schema=["user", "item", "time", "label", "impression"], orient="row")
    return Dataset.from_frames(
        items,
        log,
        columns={"id": "id", "title": "text", "abstract": "text", "topic": "attributes"},
        positive={"label": ">=1"},
        name="papers",
    )


def made(name, **changes):
    kind = models.get(name)
    known = {key: value for key, value in SMALL.items() if key in kind.Config.model_fields}
    model = kind(**{**known, **({"heads": 2} if "heads" in kind.Config.model_fields else {}), **changes})
    torch.manual_seed(0)
    model.setup(papers().select_view(), RunContext())
    return model.eval()


def batch_of(items, histories):
    """One event a group."""
    n = len(items)
    indptr = np.concatenate([[0], np.cumsum([len(one) for one in histories])])
    past = torch.tensor([item for one in histories for item in one], dtype=torch.int64)
    rows = torch.arange(n)
    return ImpressionBatch(rows, torch.tensor(items), torch.zeros(n), rows, torch.from_numpy(indptr), past)


def test_pools_and_convolutions_leave_out_what_is_missing():
    vectors = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[1.0, 1.0]] * 3])
    there = torch.tensor([[True, True, False], [False] * 3])
    pool = AttentivePool(2)
    torch.nn.init.zeros_(pool.attention.query.weight)
    assert torch.allclose(pool(vectors, there), torch.tensor([[2.0, 3.0], [0.0, 0.0]]))
    scores = torch.tensor([[0.0, np.log(3.0), 5.0], [1.0, 1.0, 1.0]], dtype=torch.float32)
    assert torch.allclose(candidate_pool(scores, vectors, there), torch.tensor([[2.5, 3.5], [0.0, 0.0]]))
    filters = WordConvolution(2, 1, 3)
    torch.nn.init.ones_(filters.filters.weight)
    torch.nn.init.constant_(filters.filters.bias, -4)
    assert filters(vectors, there)[0, :, 0].tolist() == [6.0, 6.0, 0.0], "1 + 2 + 3 + 4 - 4, and zero at padding"
    assert torch.isfinite(SelfAttention(2, 1)(vectors, there)).all()


@pytest.mark.parametrize("kind", [torch.nn.GRU, torch.nn.LSTM])
def test_a_recurrent_network_sees_no_padding(kind):
    torch.manual_seed(0)
    network, vectors = kind(2, 3, batch_first=True), torch.randn(3, 4, 2)
    there = torch.tensor([[False, False, True, True], [True] * 4, [False] * 4])
    states = run_recurrent(network, vectors, there)
    alone, _ = network(vectors[:1, 2:])
    assert torch.allclose(states[0, 2:], alone[0], atol=1e-6) and torch.allclose(states[1], network(vectors[1:2])[0][0])
    assert not states[0, :2].any() and not states[2].any()


def test_nrms_without_attention_is_a_product_of_means():
    model = made("nrms", self_attention=False)
    for pool in (model.pool_words, model.pool_clicks):
        torch.nn.init.zeros_(pool.attention.query.weight)
    words = model.word.weight[model.words.title]
    means = [words[row, :4].mean(0) for row in range(11)]
    scores = model.logits(batch_of([0, 3], [[1, 2], []]))["label"]
    reader = (means[1] + means[2]) / 2
    assert torch.allclose(scores[0], means[0] @ reader, atol=1e-6)
    assert scores[1] == means[3] @ model.nobody, "a reader without a history has a learnt vector"
    assert not model.encode(torch.tensor([11, -1])).any(), "no title, no vector"


def test_naml_weighs_title_body_and_attributes():
    model = made("naml", view_attention=False)
    title, body = (
        model.pools[view](model.filters[view](*(tokens := model.tokens(torch.tensor([0]), [view]))), tokens[1])
        for view in ("title", "body")
    )
    topic = torch.relu(model.dense[0](model.fact("item.topic", torch.tensor([0]))[0][:, 0]))
    assert torch.allclose(model.encode(torch.tensor([0])), (title + body + topic) / 3, atol=1e-6)
    bare = model.encode(torch.tensor([11]))
    assert bare.any(), "an article without a title is known by its other views"


def test_ebnr_hides_words_and_knows_categories():
    vectors = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
    category = torch.tensor([2, 3, 2, 3, 0])
    assert torch.allclose(category_triplets(vectors[:4], category[:4]), torch.tensor(np.log1p(np.exp(-1.0))).float())
    model = made("ebnr")
    ids = model.words.title[0][:4].tolist() + model.words.body[0][model.words.body[0] > 0].tolist()
    total = model.word.weight[ids].sum(0)
    expected = torch.sigmoid(total + model.bias) - torch.sigmoid(model.bias)
    assert torch.allclose(model.encode(torch.tensor([0]))[0], expected, atol=1e-6)
    terms = model.loss(papers_batch(model))
    assert {"loss", "autoencoder", "triplet"} <= set(terms)
    assert torch.isclose(
        terms["loss"], super(type(model), model).loss(papers_batch(model))["loss"]
        + 0.3 * terms["autoencoder"] + 0.1 * terms["triplet"], atol=0.3,
    )  # fmt: skip


def papers_batch(model):
    source = model.batches(papers().select_view(), RunContext())
    return source.collate(np.arange(8), np.random.default_rng(0))


def test_dkn_reads_entities_and_those_that_share_articles_with_them():
    model = made("dkn")
    rows = torch.tensor([0, 11, -1])
    words, ids, there = model.positions(rows)
    assert ids.shape == (3, 5) and ids[0, 4] > 0 and not ids[2].any(), "four words, and the topic as an entity"
    assert there.tolist() == [[True] * 5, [False] * 4 + [True], [False] * 5] and not words[1].any()
    model.context[ids[0, 4], :2] = ids[1, 4]
    near = model.around(ids[0, 4:])
    assert torch.allclose(near[0], model.entity.weight[ids[1, 4]], atol=1e-6), "the mean of one neighbour, twice"
    torch.nn.init.zeros_(model.weigh[-1].weight)
    cand, before = torch.randn(1, 4), torch.randn(1, 3, 4)
    seen = torch.tensor([[False, True, True]])
    score = model.score(cand, before, seen, batch_of([0], [[1, 2]]))
    expected = model.click(torch.cat([before[:, 1:].mean(1), cand], -1))[:, 0]
    assert torch.allclose(score, expected, atol=1e-6), "equal weights are a mean over what is there"


def test_linked_entities_stand_at_their_words():
    items = pl.DataFrame(
        {
            "id": ["a", "b", "c"],
            "title": ["Fort Lauderdale's parade", "Rain", None],
            "title_entities": ['[{"WikidataId": "Q1", "SurfaceForms": ["Fort Lauderdale"]}]', "[]", None],
        }
    )
    log = pl.DataFrame({"user": ["u", "u"], "item": ["a", "b"], "label": [1, 0], "time": [1, 2]})
    data = Dataset.from_frames(items, log, columns={"id": "id", "title": "text"}, positive={"label": ">=1"})
    vocabulary = WordVocabulary.fit(data.items)
    assert vocabulary.entities == ("Q1",)
    assert vocabulary.entity_ids(data.items, 3).tolist() == [
        [2, 0, 0],
        [0] * 3,
        [0] * 3,
    ]
    assert vocabulary == WordVocabulary.from_state(vocabulary.state())
    with pytest.raises(DataError, match="headline"):
        WordVocabulary.fit(data.items, "headline")


def test_dan_adds_the_sequence():
    model = made("dan")
    for network in (model.interest, model.moment):
        torch.nn.init.zeros_(network[-1].weight)
    cand, before, seen = torch.randn(1, 4), torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    states, _ = model.recurrent(before)
    reader = model.join(torch.cat([before.mean(1), states.mean(1)], -1))
    score = model.score(cand, before, seen, batch_of([0], [[1, 2]]))
    assert torch.allclose(score, (reader * cand).sum(-1), atol=1e-6)
    assert not hasattr(made("dan", sequence=False), "recurrent")


def test_gerl_finds_those_who_share_most_clicks():
    import scipy.sparse as sp

    taken = sp.csr_array(np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 1]], np.float32))
    assert nearest(taken, 2).tolist() == [[2, 3], [1, 3], [2, 1], [0, 0]], "rows are counted from 1, 0 is none"
    model = made("gerl")
    assert model.user_tensors() == {"readers": slice(0, 6), "near_readers": slice(0, 6)}
    encoded = model.encode(torch.tensor([0, 11]))
    assert encoded.shape == (2, 3, 4) and encoded[0].any(1).all() and not encoded[1, 1:].any(), (
        "unclicked: no neighbours"
    )
    stranger = batch_of([0], [[1]])
    object.__setattr__(stranger, "users", torch.tensor([-1]))
    clicked, there = model.text(torch.tensor([1]))[:, None], torch.ones(1, 1, dtype=torch.bool)
    reader = model.known_user(model.pool_clicks(clicked, there), there)
    assert torch.allclose(model.logits(stranger)["label"], (reader * encoded[:1, 0]).sum(-1), atol=1e-5)


def test_fim_matches_words_by_scaled_products():
    model = made("fim", levels=0, title_words=1)
    for convolution in (model.first, model.second):
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
        convolution.weight.data[0, 0, 1, 1, 1] = 1
    torch.nn.init.zeros_(model.out.weight)
    torch.nn.init.zeros_(model.out.bias)
    model.out.weight.data[0, 0] = 1
    cand, before = torch.randn(1, 1, 1, 4), torch.randn(1, 1, 1, 1, 4)
    product = (cand * before[:, 0]).sum() / 2
    elu = torch.nn.functional.elu
    assert torch.allclose(model.match(cand, before)[0], elu(elu(product)), atol=1e-6)
    levels = made("fim").encode(torch.tensor([0, -1]))
    assert levels.shape == (2, 4, 4, 4) and not levels[1].any()


def test_plm_nr_learns_language_first_and_tunes_the_top():
    model = made("plm_nr")
    first, second = model.phases()
    assert (first.name, first.validate, second.name) == ("language", False, "clicks")
    trained = {id(one) for one in second.parameters}
    assert model.fixed == 1 and not trained & {id(one) for one in (*model.blocks[0].parameters(), model.word.weight)}
    assert {id(one) for one in model.blocks[1:].parameters()} <= trained and id(model.nobody) in trained
    torch.manual_seed(0)
    loss = model.language_loss(papers_batch(model))["loss"].detach()
    assert 0 < float(loss) < 3 * np.log(model.vocabulary.size)
    assert [phase.name for phase in made("plm_nr", language_epochs=0).phases()] == ["train"]


def test_imrec_sees_words_where_they_are_drawn():
    card, boxes = draw_card(("Rowing", "medal"), "sport", None)
    assert len(boxes) == 2 and boxes[0][2] < boxes[1][0], "beside each other"
    pixels = np.asarray(card.convert("L"))
    assert all(pixels[top:bottom, left:right].min() < 60 for left, top, right, bottom in boxes)
    many, _ = draw_card(["word"] * 500, "", None), None
    assert len(many[1]) < 500, "what has no room is not drawn"
    gate, one, other = Gate(2), torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 4.0]])
    torch.nn.init.zeros_(gate.open.weight)
    torch.nn.init.zeros_(gate.open.bias)
    assert gate(one, other).tolist() == [[1.0, 2.0]]
    model = made("imrec", whole=False)
    assert model.crops.shape == (12, 4, CROP[0] * CROP[1]) and model.crops[0].any() and not model.crops[11].any()
    values, there = model.tokens(torch.tensor([0, 11]), ["title"])
    assert values[0].any() and not values[1].any() and there.tolist() == [[True] * 4, [False] * 4]


def test_mm_rec_relates_text_and_picture_both_ways():
    model = made("mm_rec")
    model.streams = ["text", "picture"]
    model.related = torch.nn.ModuleDict({f"{x}_{y}": torch.nn.Identity() for x in model.streams for y in model.streams})
    cand, before = torch.randn(1, 2, 4), torch.randn(1, 1, 2, 4)
    seen, batch = torch.ones(1, 1, dtype=torch.bool), batch_of([0], [[1]])
    both = before[0, 0].sum(0) @ cand[0].sum(0)
    assert torch.allclose(model.score(cand, before, seen, batch), 2 * both, atol=1e-5), "one article: all weights are 1"
    cand[:, 1] = 0
    only = before[0, 0].sum(0) @ cand[0, 0]
    assert torch.allclose(model.score(cand, before, seen, batch), only, atol=1e-5), "no picture asks for nothing"
    maps = np.zeros((2, 3, 4, 4), np.float32)
    maps[0, 1, :2, :2] = 5
    regions = regions_of(Features(maps, np.array([True, False]), "map"), 2)
    assert regions.shape == (2, 4, 3) and regions[0, 0].tolist() == [0, 1, 0] and not regions[0, 1:].any()
    assert not regions[1].any()
    flat = regions_of(Features(np.array([[3.0, 4.0]], np.float32)), 2)
    assert flat.shape == (1, 1, 2) and torch.allclose(flat.float(), torch.tensor([[[0.6, 0.8]]]), atol=1e-3)


def test_an_article_is_encoded_once_in_a_pass():
    model, questions = made("nrms"), papers().test_events()
    encoded = []
    plain = model.encode
    model.encode = lambda rows: encoded.extend(rows.tolist()) or plain(rows)
    whole = predict(model, questions)
    short, contract.CHUNK = contract.CHUNK, 5
    try:
        encoded.clear()
        parts = predict(model, questions)
    finally:
        contract.CHUNK = short
    counts = np.unique(encoded, return_counts=True)[1]
    # the first article of the pass is encoded once more to learn the shape
    assert counts.sum() <= len(counts) + 1 and len(questions) > 6 * 5, "seven chunks"
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert model._kept is None


def test_a_run_keeps_the_vocabulary_and_reads_new_titles(tmp_path):
    model = fit(models.get("nrms")(**SMALL, heads=2), papers(), seed=0)
    assert not model.deployment.features, "titles are read as words, so nothing is encoded"
    back = palate.restore(model.save(tmp_path / "run"))
    assert back.vocabulary == model.vocabulary and torch.equal(back.words.title, model.words.title)
    questions = papers().test_events()
    np.testing.assert_allclose(predict(back, questions), predict(model, questions), atol=1e-6)
    new = pl.DataFrame({"id": ["n12"], "title": ["The rowing medal"], "abstract": [None], "topic": ["t0"]})
    back.deployment.add_items(back, new.cast({"abstract": pl.String}))
    assert not back.words.title[12].any()
    ranked = back.rank(["n12", "n0"], history=["n3"])
    assert back.words.title[12].any() and np.isfinite(ranked["probability"].to_numpy()).all()
