from dataclasses import replace

import numpy as np
import pytest
import tiny_texts
import torch

import palate
from palate.contracts import Evidence, GenerationRequest, generators
from palate.core.content import Features
from palate.core.context import RunContext
from palate.models.generate.shared.frames import padded_frames
from palate.models.generate.unmhg import FIRST
from palate.modules.text_generation.picture_index import shuffled_candidates
from palate.modules.text_generation.text_transformer import sinusoids

UNMHG = generators.get("unmhg")
SMALL = {
    "dim": 32,
    "words": 24,
    "layers": 1,
    "dropout": 0.0,
    "batch_size": 16,
    "lr": 5e-3,
    "beam": 2,
    "target_length": 10,
}
NEW = {"item": "new", "description": "In this first story a traveller called Ubbelohde comes to the castle and stays."}
PICTURES = {"b01": b"forest", "b03": b"desert"}


@pytest.fixture(scope="module", params=["last", "first"])
def fitted(request):
    model = UNMHG(**SMALL, epochs=18, index=request.param)
    return model.fit(tiny_texts.dataset(), refit=False)


def cover(item, images=PICTURES, kind="cover", **options):
    row = tiny_texts.rows()[item] if isinstance(item, int) else item
    return GenerationRequest(kind, row, images=images, options=options)


def test_headlines_come_with_one_of_the_pictures(fitted):
    made = fitted.generate([cover(3), cover(9), cover(9, {"b01": b"forest"})])
    assert [one.text for one in made] == ["Quillix and the desert", *["Taldune and the forest"] * 2]
    assert {made[0].image, made[1].image} <= set(PICTURES.values()) and made[2].image == b"forest"
    assert Evidence("item", "b01", "image", "b01") in made[2].evidence
    losses = fitted.deployment.log.history
    assert losses[-1]["image"] < 0.4 * losses[0]["image"] and losses[-1]["text"] < 0.1 * losses[0]["text"]


def test_the_picture_that_fits_the_text_is_picked_in_any_order():
    model, batch = prepared(soft=0.0)
    few = batch.take(torch.tensor([int((batch["item"] % 4 == place).nonzero()[0]) for place in range(4)]))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(80):
        optimizer.zero_grad()
        model.picked_loss(few, shuffled_candidates(few["image"], 4), False).backward()
        optimizer.step()
    pictures = shuffled_candidates(few["image"], 4)
    shown = {"pictures": pictures, "present": pictures.any(2), "moving": torch.zeros(4, dtype=torch.bool)}
    words = model.write(replace(few, values={**few.values, **shown}), torch.full((4,), 9), 0)
    own = (pictures == few["image"][:, None]).all(2).long().argmax(1)
    assert (words[:, 0] - FIRST).tolist() == own.tolist() and len(set(own.tolist())) > 1


def test_texts_without_pictures_and_mixed_batches_are_normal(fitted):
    made = fitted.generate([cover(3), cover(NEW, {}), cover(9, kind="headline"), cover(NEW, {"zz": b"unknown"})])
    assert made[0].image in PICTURES.values() and [one.image for one in made[1:]] == [None] * 3
    assert made[1].text == made[3].text == "Ubbelohde and the castle"
    alone = [fitted.generate([one])[0].text for one in (cover(3), cover(NEW, {}))]
    assert alone == [made[0].text, made[1].text]


def test_a_run_says_and_shows_the_same(fitted, tmp_path):
    fitted.save(tmp_path / "run")
    asked = [cover(3), cover(NEW, {}), cover(9)]
    again, made = palate.restore(tmp_path / "run").generate(asked), fitted.generate(asked)
    assert [(one.text, one.image) for one in again] == [(one.text, one.image) for one in made]


def prepared(frames=False, **settings):
    model, view = UNMHG(**{**SMALL, **settings}), tiny_texts.dataset().select_view()
    view = view.with_features({"image": tiny_texts.images()})
    if frames:
        lengths = np.where(np.arange(24) % 2, 3, 0)
        clips = Features(
            np.random.default_rng(0).normal(size=(36, 6)).astype(np.float32), lengths > 0, "tokens", lengths
        )
        view = replace(view, features={**view.features, "video": clips})
    torch.manual_seed(0)
    model.setup(view, RunContext())
    source = model.batches(view, RunContext())
    return model.eval(), source.collate(np.arange(12), None)


def test_tasks_weigh_the_same_and_only_those_that_occur():
    model, batch = prepared()
    torch.manual_seed(1)
    losses = model.loss(batch)
    assert set(losses) == {"loss", "text", "image"}
    assert float(losses["loss"].detach()) == pytest.approx(float((losses["text"] + losses["image"]).detach()) / 2)
    model, batch = prepared(frames=True)
    losses = model.loss(batch)
    assert float(losses["loss"].detach()) == pytest.approx(
        float((losses["text"] + losses["image"] + losses["video"]).detach()) / 3
    )
    text, batch = prepared(pictures=0)
    assert set(text.loss(batch)) == {"loss", "text"} and text.visual is None


def test_pictures_carry_their_index_and_frames_their_position():
    model, batch = prepared()
    pictures = batch["image"][:2, None].expand(-1, 3, -1)
    tokens = model.picture_tokens(pictures, torch.tensor([False, True])).detach()
    marks = model.network.words.weight[FIRST : FIRST + 3] * SMALL["dim"] ** 0.5
    bare = pictures @ model.visual.weight.T
    torch.testing.assert_close(tokens[0], bare[0] + marks)
    torch.testing.assert_close(tokens[1], bare[1] + marks + sinusoids(3, SMALL["dim"]))


def test_pictures_are_put_before_the_words_by_a_linear_map_without_bias():
    model, batch = prepared(task_tokens=False)
    assert model.visual.bias is None
    batch.values["has_image"][:3] = False
    read = model.read(batch)
    values = {**batch.values, "pictures": batch["image"][:, None], "present": batch["has_image"][:, None]}
    longer = model.read(replace(batch, values={**values, "moving": torch.zeros(len(batch), dtype=torch.bool)}))
    assert longer.ids[:, 1:].tolist() == read.ids.tolist()
    assert longer.ids[:, 0].tolist() == (FIRST * batch["has_image"]).tolist()
    absent = ~batch["has_image"]
    assert absent.any() and torch.equal(longer.mask[absent, 0], torch.zeros(int(absent.sum()), dtype=torch.bool))
    torch.testing.assert_close(longer.states[absent, 1:], read.states[absent])


def test_the_index_loss_by_hand():
    model, batch = prepared(soft=0.0)
    part = batch.take(batch["has_image"].nonzero()[:2, 0])
    pictures = torch.stack([part["image"], part["image"] * 0], 1)
    loss = model.picked_loss(part, pictures, False)
    present = pictures.any(2)
    values = {**part.values, "pictures": pictures, "present": present, "moving": torch.zeros(2, dtype=torch.bool)}
    read = model.read(replace(part, values=values))
    total = 0.0
    for row in range(2):
        words = part["target"][row][part["target"][row] > 0].tolist()
        target = torch.tensor([[*words[:-1], FIRST, words[-1]]])
        own = replace(
            read, states=read.states[row : row + 1], mask=read.mask[row : row + 1], ids=read.ids[row : row + 1]
        )
        total -= float(model.network.shifted(target, own).gather(2, target[..., None]).sum().detach())
    count = int((part["target"] > 0).sum()) + 2
    assert float(loss.detach()) == pytest.approx(total / count, rel=1e-4)


def test_frames_are_evenly_spaced():
    values = np.arange(7, dtype=np.float32)[:, None] + 1
    clips = Features(values, np.array([True, False, True]), "tokens", np.array([5, 0, 2]))
    assert padded_frames(clips, 3, 1)[..., 0].tolist() == [[1, 2, 4], [0, 0, 0], [6, 7, 0], [0, 0, 0]]
    assert padded_frames(clips, 3, 2) is None and padded_frames(None, 3, 1) is None
