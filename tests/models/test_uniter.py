"""UNITER: each task by hand, one modality masked at a time, missing content, and encoders of one modality."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paired_items import READERS, shop, view

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.losses.transport import transport_distance
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "layers": 1, "batch_size": 32, "lr": 3e-3, "classes": 4}
ROWS = torch.tensor([0, 1, 2, 3])


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("uniter")(**{**SMALL, **settings})
    model.setup(train or view(), RunContext())
    return model


def test_masked_regions_by_hand():
    """All regions hidden: their features and classes are guessed from the words and from where they are."""
    model = build(masked=0.999, alone=0).eval()
    hidden = torch.ones(4, 4, dtype=torch.bool)
    with torch.no_grad():
        _, regions = model.stream([model.words(model.ids(ROWS)), model.picture(ROWS, hidden)])
        truth = model.detector(ROWS)
        squared = (model.guess_features(regions) - truth).square().mean()
        p = ((F.normalize(truth, dim=2) @ model.detector.kinds.T) * 10).softmax(2)
        divergence = (p * (p.log() - model.guess_class(regions).log_softmax(2))).sum(2).mean()
        assert float(model.mrfr(ROWS)) == pytest.approx(float(squared), rel=1e-4)
        assert float(model.mrc_kl(ROWS)) == pytest.approx(float(divergence), rel=1e-3)
        likeliest = F.cross_entropy(model.guess_class(regions).flatten(0, 1), p.argmax(2).flatten())
        assert float(model.mrc(ROWS)) == pytest.approx(float(likeliest), rel=1e-4)


def test_matching_by_hand(monkeypatch):
    model = build(wra=0.5).eval()
    rows = ROWS[:2]
    with torch.no_grad():
        text, image = model.words(model.ids(rows)), model.picture(rows)

        def parts(order):
            words, regions = model.stream([(text[0][order], text[1][order]), image])
            return model.match(words[:, 0])[:, 0], transport_distance(words, regions, text[1][order], image[1])

        monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.ones(shape))
        logit, distance = parts([0, 1])
        assert float(model.itm(rows)) == pytest.approx(float((F.softplus(-logit) + 0.5 * distance).mean()), rel=1e-4)
        monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(shape))
        logit, distance = parts([1, 0])
        assert float(model.itm(rows)) == pytest.approx(float((F.softplus(logit) - 0.5 * distance).mean()), rel=1e-4)


def test_items_with_the_same_words_are_no_mismatch(monkeypatch):
    model = build(wra=0).eval()
    rows = torch.tensor([0, 12])
    assert torch.equal(*model.ids(rows))
    monkeypatch.setattr(torch, "rand", lambda *shape, **_: torch.zeros(shape))
    with torch.no_grad():
        words, _ = model.stream([model.words(model.ids(rows)), model.picture(rows)])
        expected = F.softplus(-model.match(words[:, 0])).mean()
        assert float(model.itm(rows)) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("conditional", [True, False])
def test_one_modality_is_masked_at_a_time(conditional):
    model = build(conditional=conditional, alone=0).eval()
    shown = {}
    model.picture, picture = lambda rows, hidden: shown.update(hidden=hidden) or picture(rows, hidden), model.picture
    words = model.words.forward
    model.words.forward = lambda ids: shown.update(ids=ids) or words(ids)
    _, where, ids = model.masked(ROWS, words=True)
    assert where.any(1).all() and (ids[where] >= 5).all()
    assert bool(shown["hidden"].any()) is not conditional
    _, where, ids = model.masked(ROWS.repeat(8), words=False)
    assert torch.equal(where, shown["hidden"]) and where.any(1).all()
    assert torch.equal(shown["ids"], ids) is conditional


def test_missing_modalities_are_left_out_of_what_needs_them():
    model = build(view(no_picture=[0, 1], no_text=[2]), alone=0)
    assert set(model.train_items) | set(model.eval_items) == set(range(48))
    assert not set(model.eval_items) & {0, 1, 2}
    _, hidden, _ = model.masked(ROWS, words=False)
    _, chosen, _ = model.masked(ROWS, words=True)
    assert hidden.any(1).tolist() == [False, False, True, True]
    assert chosen.any(1).tolist() == [True, True, False, True]
    for rows in (ROWS, ROWS[:2], ROWS[2:3]):
        for task in model.config.tasks:
            loss = getattr(model, task)(rows)
            model.zero_grad()
            loss.backward()
            assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_one_task_a_batch_and_the_same_ones_for_the_same_epoch():
    model = build()
    drawn = []
    for task in model.config.tasks:
        setattr(model, task, lambda rows, task=task: drawn.append(task) or rows.sum())
    for _ in range(2):
        model.on_epoch(0, np.random.default_rng(5))
        for _ in range(40):
            model.loss(ExampleBatch(ROWS[:, None]))
    assert drawn[:40] == drawn[40:] and set(drawn) == set(model.config.tasks)


def test_a_hidden_colour_is_read_from_the_picture():
    model = build(view(24, names=("blue", "yellow")), masked=0.4, alone=0.1)
    rows = torch.from_numpy(model.train_items)
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 3e-3)
    for _ in range(90):
        optimiser.zero_grad()
        model.mlm(rows).backward()
        optimiser.step()
    model.eval()
    ids = model.ids(rows)
    truth = ids[:, 1].clone()
    ids[:, 1] = 4
    right = []
    with torch.no_grad():
        image, mask = model.picture(rows)
        for shown in (mask, torch.zeros_like(mask)):
            words, _ = model.stream([model.words(ids), (image, shown)])
            guess = model.guess_word(words[:, 1], model.words.words.weight).argmax(1)
            right.append(float((guess == truth).float().mean()))
    assert right[0] > 0.9 and right[1] < 0.75
    assert 0 < model.validation_score() <= 1


def test_data_without_pictures_or_words_are_refused():
    with pytest.raises(ConfigError, match="items with image"):
        build(view(image=False))
    with pytest.raises(ConfigError, match="at least 2 items"):
        build(view(n=3, no_picture=[0, 1]))
    with pytest.raises(ConfigError, match="tasks"):
        build(tasks=("ocr",))


def test_exported_encoders_read_one_modality(tmp_path):
    data = shop()
    model = pretrainers.get("uniter")(**SMALL, epochs=2)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    titles = ["a red lamp", "a blue lamp"]
    for modality, raw in (("text", titles), ("image", data.items.raw("image")[:2])):
        again = load_encoder(tmp_path / "out" / modality)
        found = again.encode([*raw, None])
        assert found.dim == 16 and found.present.tolist() == [True, True, False]
        np.testing.assert_array_equal(found.values, encoders[modality].encode([*raw, None]).values)
        np.testing.assert_allclose(np.linalg.norm(found.values[:2], axis=1), 1, atol=1e-5)
        np.testing.assert_allclose(again.encode(raw[:1]).values, found.values[:1], atol=1e-5)
    view_ids = torch.from_numpy(encoders["text"].of.encode(titles).values)
    with torch.no_grad():
        tokens = model.words(view_ids)
        (states,) = model.stream([tokens])
        mean = (states * tokens[1][:, :, None]).sum(1) / tokens[1].sum(1, keepdim=True)
    np.testing.assert_allclose(encoders["text"].encode(titles).values, F.normalize(mean, dim=1).numpy(), atol=1e-5)
