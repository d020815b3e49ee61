"""BLIP-2's first stage: its three objectives by hand, mined negatives, and encoders of one modality."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from paired_items import COLOURS, READERS, shop, view

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.modules.masking import sample_hard_negatives
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "width": 8, "layers": 1, "queries": 3, "batch_size": 20, "lr": 3e-3}
ROWS = torch.tensor([0, 1, 2, 3])


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("blip2")(**{**SMALL, **settings})
    model.setup(train or view(), RunContext())
    return model


def test_contrast_by_hand():
    """s_ij is the best query's cosine over tau, and apart from each other both sides are what is exported alone."""
    model = build(tau=0.5, objectives=("itc",)).eval()
    with torch.no_grad():
        queries, _ = model.former(model.tower(model.inputs.read("image", ROWS))[0], None)
        texts = model.texts(ROWS)
        s = torch.zeros(4, 4)
        for i in range(4):
            for j in range(4):
                s[i, j] = max(F.cosine_similarity(model.of_image(q), texts[j], dim=0) for q in queries[i]) / 0.5
        expected = (F.cross_entropy(s, torch.arange(4)) + F.cross_entropy(s.T, torch.arange(4))) / 2
        out = model.loss(ExampleBatch(ROWS[:, None]))
    assert set(out) == {"loss", "itc"}
    assert float(out["loss"]) == pytest.approx(float(expected), rel=1e-4)


def test_matching_by_hand():
    """With two items the wrong partner is the other one."""
    model = build().eval()
    rows = ROWS[:2]
    with torch.no_grad():
        image, ids = model.tower(model.inputs.read("image", rows))[0], model.ids(rows)

        def logit(i, j):
            queries, _ = model.former(image[[i]], model.words(ids[[j]]), "together")
            return model.match(queries).mean()

        right = F.softplus(-logit(0, 0)) + F.softplus(-logit(1, 1))
        wrong = 2 * (F.softplus(logit(0, 1)) + F.softplus(logit(1, 0)))
        found = model.itm(image, ids, torch.zeros(2, 2))
    assert float(found) == pytest.approx(float((right + wrong) / 6), rel=1e-4)


def test_writing_by_hand():
    """The text's own words are targets up to [SEP]; it opens with the mask, which no text holds."""
    model = build().eval()
    with torch.no_grad():
        image, ids = model.tower(model.inputs.read("image", ROWS[:1]))[0], model.ids(ROWS[:1])
        assert ids.tolist() == [[2, 5, 9, 3, 0, 0]] and model.vocabulary == 12
        opened = torch.tensor([[4, 5, 9]])
        _, states = model.former(image, model.words(opened), "causal")
        chances = model.write(states, model.words.words.weight)[0].log_softmax(1)
        expected = -(chances[0, 5] + chances[1, 9] + chances[2, 3]) / 3
        assert chances.shape == (3, 12)
        assert float(model.itg(image, ids)) == pytest.approx(float(expected), rel=1e-4)


def test_hard_negatives_are_similar_and_never_the_item_or_its_twin():
    torch.manual_seed(0)
    scores = torch.tensor([[9.0, 9.0, 4.0, 0.0], [9.0, 9.0, 0.0, 4.0], [0.0, 0.0, 9.0, 0.0], [0.0, 0.0, 0.0, 9.0]])
    twins = torch.eye(4, dtype=torch.bool)
    twins[0, 1] = twins[1, 0] = True
    drawn = torch.stack([sample_hard_negatives(scores, twins)[1] for _ in range(300)])
    assert set(drawn[:, 0].tolist()) == {2, 3} and set(drawn[:, 2].tolist()) == {0, 1, 3}
    expected = torch.tensor([4.0, 0.0]).softmax(0)[0]
    assert abs((drawn[:, 0] == 2).float().mean() - expected) < 0.03
    rows, none = sample_hard_negatives(scores[:2, :2], twins[:2, :2])
    assert len(rows) == len(none) == 0


def test_matching_never_draws_an_equal_text_as_a_wrong_one(monkeypatch):
    model = build()
    rows = ROWS[:3]
    image, ids = model.tower(model.inputs.read("image", rows))[0], model.ids(rows)
    ids[1] = ids[0]
    drawn = []

    def watched(scores, false_negatives):
        drawn.append(false_negatives.clone())
        return sample_hard_negatives(scores, false_negatives)

    monkeypatch.setattr("palate.models.pretrain.blip2.sample_hard_negatives", watched)
    model.itm(image, ids, torch.zeros(3, 3))
    twins = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    assert len(drawn) == 2 and all(torch.equal(found, twins) for found in drawn)


def test_a_batch_without_negatives_still_learns():
    model = build()
    for rows in (ROWS[:1], torch.tensor([0, 12])):
        loss = model.loss(ExampleBatch(rows[:, None]))["loss"]
        loss.backward()
        assert torch.isfinite(loss)


def test_pictures_find_the_words_for_their_colour():
    """Two colours, 11 items each: who knows the colour alone has a contrast of log 11, who knows nothing of log 22."""
    model = build(view(24, names=("blue", "yellow")), tau=0.5)
    rows = torch.from_numpy(model.train_items)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(90):
        optimiser.zero_grad()
        model.loss(ExampleBatch(rows[:, None]))["loss"].backward()
        optimiser.step()
    model.eval()
    with torch.no_grad():
        ids = model.ids(rows)
        nearest = (model.pictures(rows) @ model.texts(rows).T).argmax(1)
        contrast = float(model.loss(ExampleBatch(rows[:, None]))["itc"])
    assert (ids[nearest, 1] == ids[:, 1]).float().mean() > 0.9
    assert contrast < 2.8 and 0 < model.validation_score() <= 1


def test_items_that_lack_a_modality_are_left_out():
    model = build(view(no_picture=[0, 1], no_text=[2]))
    assert set(model.train_items) | set(model.eval_items) == set(range(3, 48))
    assert not set(model.train_items) & set(model.eval_items)


def test_data_without_pictures_or_words_are_refused():
    with pytest.raises(ConfigError, match="items with text"):
        build(view(text=False))
    with pytest.raises(ConfigError, match="dim"):
        build(dim=10)


def test_exported_encoders_read_one_modality(tmp_path):
    data = shop()
    model = pretrainers.get("blip2")(**SMALL, epochs=2)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    titles, photos = [f"a {colour} lamp" for colour in COLOURS], data.items.raw("image")[:4]
    words, images = encoders["text"].encode(titles).values, encoders["image"].encode(photos).values
    for modality, raw, values in (("text", titles, words), ("image", photos, images)):
        again = load_encoder(tmp_path / "out" / modality)
        found = again.encode([*raw, None])
        assert found.dim == 8 and found.present.tolist() == [True] * 4 + [False]
        np.testing.assert_allclose(found.values[:4], values, atol=1e-5)
        np.testing.assert_allclose(again.encode(raw[:1]).values, values[:1], atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, atol=1e-5)
    with torch.no_grad():
        ids = torch.from_numpy(encoders["text"].of.encode(titles).values)
        _, states = model.former(None, model.words(ids))
        np.testing.assert_allclose(words, F.normalize(model.of_text(states[:, 0]), dim=1).numpy(), atol=1e-5)


def test_pictures_read_by_a_frozen_encoder(tmp_path):
    readers = {**READERS, "image": "image_stats"}
    model = pretrainers.get("blip2")(**{**SMALL, "tokens": 2, "epochs": 2})
    found = pretrain(model, shop(), tmp_path / "out", readers=readers)
    raws = shop().items.raw("image")[:5]
    again = load_encoder(tmp_path / "out" / "image")
    np.testing.assert_array_equal(again.encode(raws).values, found["image"].encode(raws).values)
    values, mask = model.tower(model.inputs.read("image", ROWS))
    assert values.shape == (4, 2, 16) and mask.all()
    assert not torch.equal(model.tower.mean, torch.zeros_like(model.tower.mean))
