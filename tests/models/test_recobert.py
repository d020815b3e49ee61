"""RecoBERT: matching and masked words by hand, which column is the title, TotalScore, and what is missing."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from newsroom import COLD, ITEMS, READERS, as_saved, build, news, same_section, set_up

import palate
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.models.pretrain.recobert import standardised
from palate.modules.token_ids import concat_texts
from palate.training.pretrain import pretrain


def means(model, titled, described):
    """Mean states of the words of title and body, read together and unmasked."""
    ids, part = concat_texts(model.text(0, titled), model.text(1, described), 5)
    states = model.stream(ids)[0]
    return [torch.stack([s[p == side].mean(0) for s, p in zip(states, part)]) for side in (1, 2)]


def test_matching_by_hand(monkeypatch):
    """Items 1 and 2 differ in both texts: matched as they are, then with their titles swapped."""
    model, _ = set_up("recobert", news(), mlm=0)
    model.mask_tokens = lambda ids: (ids, ids < 0)
    rows = torch.tensor([1, 2])
    own = torch.tensor([0, 1])
    with torch.no_grad():
        for order, y in ((own, 1), (own.flip(0), 0)):
            monkeypatch.setattr(
                "palate.models.pretrain.recobert.sample_mismatched_pairs", lambda n, device, order=order: (order, own)
            )
            s = (1 + F.cosine_similarity(*means(model, rows[order], rows))) / 2
            expected = -(s if y else 1 - s).log().mean()
            terms = model.loss(ExampleBatch(rows[:, None]))
            assert set(terms) == {"loss", "tdm"} and float(terms["tdm"]) == pytest.approx(float(expected), rel=1e-4)


def test_equal_texts_belong_together(monkeypatch):
    """Items 4 and 12 have the same title, so a swap of their bodies is no mismatch."""
    model, _ = set_up("recobert", news(), mlm=0)
    model.mask_tokens = lambda ids: (ids, ids < 0)
    rows = torch.tensor([4, 12])
    assert torch.equal(*model.text(0, rows))
    own = torch.tensor([0, 1])
    monkeypatch.setattr("palate.models.pretrain.recobert.sample_mismatched_pairs", lambda n, device: (own, own.flip(0)))
    with torch.no_grad():
        s = (1 + F.cosine_similarity(*means(model, rows, rows.flip(0)))) / 2
        assert float(model.loss(ExampleBatch(rows[:, None]))["tdm"]) == pytest.approx(float(-s.log().mean()), rel=1e-4)


def test_words_are_guessed_from_both_texts():
    model, _ = set_up("recobert", news(), tdm=0)
    rows = torch.tensor([1, 2])
    ids, _ = concat_texts(model.text(0, rows), model.text(1, rows), 5)
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    hidden[:, 2] = True
    model.mask_tokens = lambda ids: (ids.masked_fill(hidden, 4), hidden)
    with torch.no_grad():
        states = model.stream(ids.masked_fill(hidden, 4))[0][:, 2]
        logits = model.guess(states, model.stream.reader.words.weight)
        terms = model.loss(ExampleBatch(rows[:, None]))
        assert set(terms) == {"loss", "mlm"}
        assert float(terms["mlm"]) == pytest.approx(float(F.cross_entropy(logits, ids[:, 2])), rel=1e-4)


def test_the_title_is_the_first_text_column_or_the_one_named():
    frame = pl.DataFrame({"item": ["a", "b"], "body": ["x", "y"], "tags": ["t", "t"], "name": ["n", "m"]})
    log = pl.DataFrame({"user": ["u", "v"], "item": ["a", "b"]})
    kinds = {"item": "id", "body": "text", "tags": "text", "name": "text"}
    items = palate.Dataset.from_frames(frame, log, columns=kinds).items
    assert build("recobert").columns(items) == {
        "title": ("text", "as:text", ("body",)),
        "body": ("text", "as:text", ("tags", "name")),
    }
    assert build("recobert", title="name").columns(items)["body"][2] == ("body", "tags")
    with pytest.raises(ConfigError, match="no such text column"):
        build("recobert", title="nmae").columns(items)
    one = news(bodies=False)
    with pytest.raises(ConfigError, match="found title"):
        build("recobert").columns(one.items)


def test_both_columns_are_read_with_the_words_of_all_texts():
    model, _ = set_up("recobert", news())
    ids = model.ids(torch.tensor([1]))[0]
    title, body = model.text(0, torch.tensor([1]))[0], model.text(1, torch.tensor([1]))[0]
    said = [int(i) for i in ids if i >= 5]
    found = [int(i) for i in torch.cat([title, body]) if i >= 5]
    assert [i for i in said if i in found] == found


def test_total_score_by_hand():
    model, _ = set_up("recobert", news())
    rows = torch.tensor([2, 3, 5, 9])
    seed = torch.tensor([1])
    with torch.no_grad():
        own, others = means(model, seed, seed), means(model, rows, rows)
        terms = [F.cosine_similarity(own[side], others[side]) for side in (0, 1)]
        many = seed.expand(4)
        terms += [F.cosine_similarity(*means(model, many, rows)), F.cosine_similarity(*means(model, rows, many))]
        expected = sum((t - t.mean()) / t.std(correction=0) for t in terms)
        titles, bodies = model.text(0, rows), model.text(1, rows)
        found = model.total_score((model.text(0, seed)[0], model.text(1, seed)[0]), titles, bodies)
        torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)
        bodies[2] = 0
        missing = model.total_score((model.text(0, seed)[0], model.text(1, seed)[0]), titles, bodies)
    assert missing.isfinite().all()


def test_standardising_leaves_out_what_is_unknown():
    found = standardised(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([True, True, False]))
    torch.testing.assert_close(found, torch.tensor([-1.0, 1.0, 0.0]))
    assert standardised(torch.tensor([2.0, 2.0]), torch.tensor([True, True])).tolist() == [0, 0]


def test_items_with_one_text_learn_words_alone():
    model, view = set_up("recobert", news(silent=[1], bare=[2, 3, 6]))
    rows = model.examples(view, RunContext())[:, 0]
    assert len(model.eval_items) and not np.isin(rows, [*model.eval_items, 1]).any() and np.isin([2, 3, 6], rows).all()
    for some in ([2, 3, 6], [2, 4], [4, 2, 5, 7, 8]):
        model.zero_grad()
        terms = model.loss(ExampleBatch(torch.tensor(some)[:, None]))
        terms["loss"].backward()
        assert (float(terms["tdm"].detach()) == 0) == (some == [2, 3, 6])
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def told_apart(model):
    """Share of titles nearer to their own body than to one of another section."""
    rows = torch.from_numpy(np.flatnonzero(model.has_both))
    own = model.match(model.text(0, rows), model.text(1, rows))[2]
    nearer = []
    for shift in (1, 2, 3):
        other = rows.roll(shift)
        wins = own > model.match(model.text(0, rows), model.text(1, other))[2]
        nearer.append(wins[(rows - other) % 4 != 0].float())
    return float(torch.cat(nearer).mean())


def test_pieces_that_no_whole_text_shows_are_unknown():
    model, _ = set_up("recobert", news())
    body = model.columns_read[1]
    values = np.array(body.values)
    values[:, 2] = model.vocabulary + 3
    model.columns_read = (model.columns_read[0], replace(body, values=values))
    rows = torch.tensor([1, 2, 3])
    assert model.text(1, rows)[:, 2].tolist() == [1, 1, 1]
    assert model.loss(ExampleBatch(rows[:, None]))["loss"].isfinite()


def test_titles_find_their_bodies(tmp_path):
    data = news(COLD)
    model = build("recobert", epochs=60, patience=60)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    untrained, _ = set_up("recobert", data)
    assert told_apart(model) > told_apart(untrained) and 0 < model.validation_score() <= 1
    assert same_section(encoders["text"], data) > 0.8
    values, again, alone = as_saved(tmp_path / "out" / "text", encoders["text"], data)
    assert values.shape == (6, 16)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_allclose(values, alone, atol=1e-5)
    reader = encoders["text"].of
    titles, bodies = (
        torch.from_numpy(reader.encode(data.items.raw("text", columns=[c])).values).long() for c in ("title", "body")
    )
    found = model.total_score((titles[0], bodies[0]), titles[1:], bodies[1:])
    assert (np.arange(1, ITEMS)[found.topk(5).indices.numpy()] % 4 == 0).all()


def test_data_without_two_texts_are_refused():
    with pytest.raises(ConfigError, match="two text columns"):
        set_up("recobert", news(bodies=False))
    with pytest.raises(ConfigError, match="at least 2 items"):
        set_up("recobert", news(bare=range(1, ITEMS)))
    with pytest.raises(ConfigError, match="both weights"):
        set_up("recobert", news(), tdm=0, mlm=0)
