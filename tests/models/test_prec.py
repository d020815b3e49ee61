"""PREC: each task by hand, what is hidden stays hidden, and a news vector that tells sections and readers."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from newsroom import COLD, READERS, as_saved, build, news, same_section, set_up

from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.losses.labels import share_cross_entropy
from palate.models.pretrain.shared.interactions import history_examples, profile_weights
from palate.modules.attended import AdditiveAttention, Attended
from palate.training.pretrain import pretrain

WIDE = {"width": 8, "clicks": 4}


def test_attention_by_hand():
    pool = AdditiveAttention(2)
    values = torch.tensor([[[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]], [[3.0, 1.0], [9.0, 9.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False], [True, False, False]])
    with torch.no_grad():
        found = pool((values, mask))
        scores = torch.tanh(values[0, :2] @ pool.hidden.weight.T + pool.hidden.bias) @ pool.query.weight[0]
        weights = scores.exp() / scores.exp().sum()
    torch.testing.assert_close(found[0], weights[0] * values[0, 0] + weights[1] * values[0, 1])
    torch.testing.assert_close(found[1], values[1, 0])
    tower = Attended({"kind": "words", "vocabulary": 9, "dim": 4, "length": 3}, 4)
    tokens, there = tower(torch.tensor([[5, 6, 0], [0, 0, 0]]))
    assert tokens.shape == (2, 1, 4) and there.tolist() == [[True], [False]] and tokens.isfinite().all()


def test_examples_are_histories_in_order_and_then_the_rest():
    view = set_up("prec", news(), **WIDE)[1]
    useful = np.ones(view.n_items, bool)
    useful[[0, 5]] = False
    rows = history_examples(view, useful, 4, "prec", 0)
    taken, rest = rows[rows[:, 0] == 1, 1:], rows[rows[:, 0] == 0, 1:]
    assert ((taken >= 0).sum(1) > 1).all() and not np.isin(rows[:, 1:], [0, 5]).any()
    when = {(int(u), int(i)): t for u, i, t in zip(view.users, view.items, view.times)}
    for row in taken:
        items = row[row >= 0]
        readers = [u for u in range(view.n_users) if all((u, int(i)) in when for i in items)]
        assert any(np.all(np.diff([when[u, int(i)] for i in items]) > 0) for u in readers)
    assert set(rows[:, 1:].ravel()) - {-1} == set(np.flatnonzero(useful))
    assert not set(rest.ravel()) & set(taken.ravel()) - {-1}
    timeless = replace(view, times=None)
    assert np.array_equal(
        history_examples(timeless, useful, 4, "prec", 0), history_examples(timeless, useful, 4, "prec", 0)
    )


def test_a_profile_is_the_mean_of_the_items_taken():
    view = set_up("prec", news(), **WIDE)[1]
    useful = np.arange(view.n_items) % 2 == 0
    items, shares = profile_weights(view, np.array([0, 3]), useful)
    for user, row in zip((0, 3), shares):
        mine = view.items[(view.users == user) & useful[view.items]]
        assert set(items[row > 0]) == set(mine)
        np.testing.assert_allclose(row[row > 0], 1 / len(mine) if len(mine) else 0)


def test_masked_words_by_hand():
    model, _ = set_up("prec", news(), **WIDE)
    ids = model.ids(torch.tensor([1, 2]))
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    hidden[0, 2] = hidden[1, 3] = True
    model.mask_tokens = lambda ids: (ids.masked_fill(hidden, 4), hidden)
    with torch.no_grad():
        states = model.stream(ids.masked_fill(hidden, 4))[0]
        table = model.stream.reader.words.weight
        logits = torch.stack([model.guess.transform(states[0, 2]), model.guess.transform(states[1, 3])]) @ table.T
        expected = -(logits + model.guess.bias).log_softmax(1)[[0, 1], ids[hidden]].mean()
        assert float(model.token_task(ids)) == pytest.approx(float(expected), rel=1e-4)


def test_masked_attributes_by_hand():
    logits = torch.tensor([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
    truth = torch.tensor([[False, True, False], [True, False, True], [False, False, False]])
    logs = logits.log_softmax(1)
    expected = (-logs[0, 1] - (logs[1, 0] + logs[1, 2]) / 2) / 2
    assert float(share_cross_entropy(logits, truth)) == pytest.approx(float(expected), rel=1e-5)
    assert float(share_cross_entropy(logits[2:], truth[2:])) == 0


def test_masked_clicks_by_hand(monkeypatch):
    """Histories (0, 1) and (2, 0, 3): the last click is hidden; the others of the same history are no candidates."""
    model, _ = set_up("prec", news(), **WIDE, tau=0.5)
    where = torch.tensor([[0, 1, -1, -1], [2, 0, 3, -1]])
    hidden = torch.tensor([[False, True, False, False], [False, False, True, False]])
    monkeypatch.setattr("palate.models.pretrain.prec.sample_mask", lambda eligible, share: hidden)
    vectors = torch.randn(4, 8)
    with torch.no_grad():
        states = model.user_states(where, hidden, vectors)
        cosines = F.normalize(states[hidden], dim=1) @ F.normalize(vectors, dim=1).T / 0.5
        first = torch.logsumexp(cosines[0, [1, 2, 3]], 0) - cosines[0, 1]
        second = torch.logsumexp(cosines[1, [1, 3]], 0) - cosines[1, 3]
        assert float(model.item_task(where, vectors)) == pytest.approx(float((first + second) / 2), rel=1e-4)
        changed = vectors.clone()
        changed[3] = torch.randn(8)
        torch.testing.assert_close(model.user_states(where, hidden, changed), states)
        changed[2] = torch.randn(8)
        assert not torch.allclose(model.user_states(where, hidden, changed)[1], states[1])


def test_held_out_items_and_items_without_text_are_in_no_example():
    model, view = set_up("prec", news(silent=[1, 2, 3]), **WIDE)
    rows = model.examples(view, RunContext())
    assert len(model.held_out.eval_items) and not np.isin(rows[:, 1:], [*model.held_out.eval_items, 1, 2, 3]).any()
    assert not np.isin(model.profiles[0], model.held_out.eval_items).any()
    for part in (rows[:5], np.array([[0, 5, 6, -1, -1]])):
        model.zero_grad()
        terms = model.loss(ExampleBatch(torch.from_numpy(part)))
        terms["loss"].backward()
        assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("off", ["token", "attribute", "item"])
def test_each_task_can_be_left_out(off):
    model, view = set_up("prec", news(), **WIDE, **{off: 0})
    terms = model.loss(ExampleBatch(torch.from_numpy(model.examples(view, RunContext())[:6])))
    left = {"token", "attribute", "item"} - {off}
    assert set(terms) == {"loss", *left}
    assert float(terms["loss"].detach()) == pytest.approx(sum(float(terms[name].detach()) for name in left), rel=1e-5)


def test_news_vectors_tell_sections_and_readers(tmp_path):
    data = news(COLD)
    model = build("prec", **WIDE, epochs=12)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    assert set(encoders) == {"text"} and same_section(encoders["text"], data) > 0.9
    assert model.validation_score() > 0.65
    values, again, alone = as_saved(tmp_path / "out" / "text", encoders["text"], data)
    assert values.shape == (6, 8)
    np.testing.assert_array_equal(values, again)
    np.testing.assert_allclose(values, alone, atol=1e-5)


def test_unsuitable_data_are_refused():
    with pytest.raises(ConfigError, match="items with categories"):
        set_up("prec", news(sections=False))
    with pytest.raises(ConfigError, match="clicked several"):
        set_up("prec", news(clicks=False))
    with pytest.raises(ConfigError, match="all weights are 0"):
        set_up("prec", news(), token=0, attribute=0, item=0)
    model, view = set_up("prec", news(sections=False, clicks=False), **WIDE, attribute=0, item=0)
    assert not model.examples(view, RunContext())[:, 0].any()
    with pytest.raises(ConfigError, match="items with text"):
        build("prec").setup(replace(view, features={}), RunContext())
