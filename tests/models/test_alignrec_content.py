"""AlignRec's content step: each task by hand, one modality hidden at a time, categories as classes, fused vectors."""

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from paired_items import COLOURS, READERS, shop, view

import palate
from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.losses.contrastive import supervised_contrastive
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "layers": 2, "codes": 8, "code_epochs": 2, "batch_size": 32, "lr": 3e-3}
ROWS = torch.tensor([0, 1, 2, 3])


def sorted_items(train=None, kinds=3, unknown=()):
    """With a category, as its reader gives it: one column a value, of unit length."""
    train = train or view()
    train.fields = {}
    rows = np.arange(train.n_items)
    hot, present = np.eye(kinds, dtype=np.float32)[rows // 8 % kinds], ~np.isin(rows, unknown)
    train.fields["category"] = Features(np.where(present[:, None], hot, 0).astype(np.float32), present)
    return train


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("alignrec_content")(**{**SMALL, **settings})
    model.setup(train or view(), RunContext())
    return model


def test_hidden_words_by_hand():
    """All words hidden and shown as [MASK]: guessed from the picture and from where they are."""
    model = build(words=0.999, alone=0).eval()
    ids = model.ids(ROWS)
    with torch.no_grad():
        found = []
        for seed in range(30):
            torch.manual_seed(seed)
            total, count = model.masked_words(ROWS)
            found.append(float(total))
            assert count == 8
        masked = torch.where(ids >= 5, 4, ids)
        states = model.stream({"text": model.words(masked), "image": model.regions(model.inputs.read("image", ROWS))})
        chances = model.guess_word(states["text"], model.words.words.weight).log_softmax(2)
        expected = -chances.gather(2, ids[:, :, None])[:, :, 0][ids >= 5].sum()
    assert min(abs(f - float(expected)) for f in found) < 0.3
    assert abs(np.mean(found) - float(expected)) < 1


def test_hidden_cells_by_hand():
    model = build(cells=0.999, alone=0).eval()
    with torch.no_grad():
        every = torch.ones(4, 4, dtype=torch.bool)
        states = model.stream({"text": model.text(ROWS), "image": model.picture(ROWS, every)})
        chances = model.guess_code(states["image"]).log_softmax(2)
        codes = model.codes.ids("image", ROWS)
        total, count = model.masked_cells(ROWS)
    assert count == 16
    assert float(total) == pytest.approx(-float(chances.gather(2, codes[:, :, None]).sum()), rel=1e-4)


def test_what_is_hidden_is_not_read_and_the_other_modality_is_shown_whole():
    model = build().eval()
    maps, hidden = model.inputs.read("image", ROWS), torch.tensor([[True, False, False, True]] * 4)
    other = maps.clone()
    other[:, :, :16, :16] = 0.9
    with torch.no_grad():
        assert torch.equal(model.regions(maps, hidden)[0], model.regions(other, hidden)[0])
    seen = []
    model.stream.forward = lambda parts: seen.append(parts) or {m: v for m, (v, _) in parts.items()}
    model.config = model.config.model_copy(update={"alone": 0.0})
    model.masked_words(ROWS)
    assert seen[-1]["image"][1].all() and torch.equal(seen[-1]["image"][0], model.picture(ROWS)[0])
    model.masked_cells(ROWS)
    assert torch.equal(seen[-1]["text"][0], model.text(ROWS)[0])
    model.config = model.config.model_copy(update={"alone": 1.0})
    model.masked_words(ROWS)
    model.masked_cells(ROWS)
    assert not seen[-2]["image"][1].any() and not seen[-1]["text"][1].any()


def test_modalities_have_nets_of_their_own_but_in_the_last_block():
    model = build()
    first, last = (set(block.nets) for block in model.stream.blocks)
    assert first == {"text", "image"} and last == {"common"}
    parts = {"text": model.text(ROWS), "image": model.picture(ROWS)}
    before = model.stream.eval()(parts)
    with torch.no_grad():
        model.stream.blocks[0].nets["image"][3].weight += 1
    alone = {"text": model.stream({"text": parts["text"]})["text"]}
    assert not torch.equal(model.stream(parts)["text"], before["text"])
    with torch.no_grad():
        model.stream.blocks[0].nets["image"][3].weight -= 5
    assert torch.equal(model.stream({"text": parts["text"]})["text"], alone["text"])


def test_categories_are_classes():
    model = build(sorted_items(unknown=[1]), category="kind", alignment=0.5, tau=0.3).eval()
    rows = torch.tensor([0, 1, 2, 8, 9, 16])
    assert model.classes[rows].tolist() == [2, -1, 2, 1, 1, 0]
    with torch.no_grad():
        vectors = model.vectors(model.text(rows), model.picture(rows))
        expected = 0.5 * supervised_contrastive(vectors, torch.tensor([0, -1, 0, 1, 1, 2]), 0.3)
        out = model.loss(ExampleBatch(rows[:, None]))
    assert float(out["category"]) == pytest.approx(float(expected), rel=1e-4)
    assert float(out["loss"]) == pytest.approx(sum(float(out[k]) for k in ("words", "cells", "category")), rel=1e-4)
    for settings in ({"category": ""}, {"category": "kind", "alignment": 0}):
        off = build(sorted_items(), **settings)
        assert set(off.loss(ExampleBatch(ROWS[:, None]))) == {"loss", "words", "cells"}
        assert [p.shape for p in off.parameters()] == [p.shape for p in model.parameters()]


def test_a_hidden_colour_is_read_from_the_other_modality():
    model = build(view(24, names=("blue", "yellow")), alone=0.2)
    rows = torch.from_numpy(model.train_items)
    for phase, steps in zip(model.phases(), (30, 60)):
        optimiser = torch.optim.Adam(phase.parameters, 2e-3)
        for _ in range(steps):
            optimiser.zero_grad()
            phase.loss(ExampleBatch(rows[:, None]))["loss"].backward()
            optimiser.step()
    model.eval()
    ids = model.ids(rows)
    masked = ids.clone()
    masked[:, 1] = 4
    image, codes = model.picture(rows), model.codes.ids("image", rows)
    unseen = model.picture(rows, torch.ones(len(rows), 4, dtype=torch.bool))
    with torch.no_grad():
        right = {}
        for name, mask in (("with", image[1]), ("without", torch.zeros_like(image[1]))):
            words = model.stream({"text": model.words(masked), "image": (image[0], mask)})["text"][:, 1]
            guess = model.guess_word(words, model.words.words.weight).argmax(1)
            right[name] = float((guess == ids[:, 1]).float().mean())
        cells = []
        for text in (model.text(rows), model.text(rows.roll(1))):
            states = model.stream({"text": text, "image": unseen})["image"]
            cells.append(float(model.guess_code(states).log_softmax(2).gather(2, codes[:, :, None]).mean()))
    assert right["with"] > 0.9 and right["without"] < 0.75
    assert cells[0] > cells[1] + 0.3
    assert 0 < model.validation_score() == model.validation_score() < 1


def test_missing_modalities_are_left_out():
    model = build(sorted_items(view(no_picture=[0, 1], no_text=[2])), category="kind")
    assert set(model.train_items) | set(model.eval_items) == set(range(48)) and not set(model.eval_items) & {0, 1, 2}
    for rows in (ROWS, ROWS[:2], ROWS[2:3]):
        model.zero_grad()
        model.loss(ExampleBatch(rows[:, None]))["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)
    model.eval()
    ids, pictures = model.inputs.read("text", ROWS), model.inputs.read("image", ROWS)
    has = model.has("text", ROWS), model.has("image", ROWS)
    found = model.fused(ids, pictures, *has)
    assert torch.equal(found, model.fused(torch.where(has[0][:, None], ids, 7), pictures + 1 - 1, *has))
    np.testing.assert_allclose(found.norm(dim=1).numpy(), 1, atol=1e-5)
    with torch.no_grad():
        words = model.words(ids[:2])
        alone = model.stream({"text": words})["text"]
        mean = (alone * words[1][:, :, None]).sum(1) / words[1].sum(1, keepdim=True)
    np.testing.assert_allclose(found[:2].numpy(), F.normalize(mean, dim=1).numpy(), atol=1e-5)
    np.testing.assert_allclose(found[3:].numpy(), model.fused(ids[3:], pictures[3:], has[0][3:], has[1][3:]), atol=1e-5)


def test_data_without_pictures_words_or_the_category_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="items with image"):
        build(view(image=False))
    model = pretrainers.get("alignrec_content")(**SMALL, category="kidn")
    with pytest.raises(ConfigError, match="kind"):
        pretrain(model, categorised(), tmp_path / "out", readers=READERS, device="cpu")


def categorised():
    data = shop()
    kinds = [list(COLOURS)[i % 4] for i in range(data.n_items)]
    items = data.items.frame.with_columns(kind=pl.Series(kinds))
    log = pl.DataFrame({"user": [0, 1, 2] * 20, "item": [f"i{i % 40}" for i in range(60)]}).unique(maintain_order=True)
    columns = {"item": "id", "title": "text", "photo": "image", "kind": "attributes"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="item_cold:seed=0")


def test_exported_encoders_read_one_modality_and_hidden_items_have_no_class(tmp_path):
    data = categorised()
    model = pretrainers.get("alignrec_content")(**SMALL, epochs=2, category="kind")
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    seen = torch.from_numpy(data.select_view().visible_items)
    assert torch.equal(model.classes >= 0, seen) and len(model.classes[seen].unique()) == 4
    titles, photos = ["a red lamp", "a blue lamp"], data.items.raw("image")[:2]
    for modality, raw in (("text", titles), ("image", photos)):
        again = load_encoder(tmp_path / "out" / modality)
        found = again.encode([*raw, None])
        assert found.dim == 16 and found.present.tolist() == [True, True, False]
        np.testing.assert_array_equal(found.values, encoders[modality].encode([*raw, None]).values)
        np.testing.assert_allclose(again.encode(raw[:1]).values, found.values[:1], atol=1e-5)
    ids, pictures = (
        torch.from_numpy(encoders[m].of.encode(raw).values) for m, raw in (("text", titles), ("image", photos))
    )
    yes, no = torch.ones(2, dtype=torch.bool), torch.zeros(2, dtype=torch.bool)
    np.testing.assert_allclose(encoders["text"].encode(titles).values, model.fused(ids, pictures, yes, no), atol=1e-5)
    np.testing.assert_allclose(encoders["image"].encode(photos).values, model.fused(ids, pictures, no, yes), atol=1e-5)
