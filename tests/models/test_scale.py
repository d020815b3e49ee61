"""SCALE: weights by hand, nothing that is hidden is seen, missing modalities, and modalities that find each other."""

import io
import wave
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from paired_items import READERS, shop, view

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.errors import ConfigError, DataError
from palate.features.saved import load_encoder
from palate.losses.contrastive import info_nce
from palate.losses.pointwise import harmonised
from palate.training.pretrain import pretrain

SMALL = {"dim": 16, "width": 8, "layers": 1, "batch_size": 16, "lr": 3e-3}
ROWS = torch.arange(4)
N = 48


def heard(no_sound=(), **shape):
    """Colours as tones: one band is loud."""
    found = view(N, **shape)
    present = np.ones(N, bool)
    present[list(no_sound)] = False
    sounds = np.full((N, 1, 8, 16), -1, np.float32) + 0.1 * np.random.default_rng(1).random((N, 1, 8, 16), np.float32)
    sounds[np.arange(N), 0, np.arange(N) % 4] = 1
    sounds[~present] = 0
    found.features["audio"] = Features(sounds, present, "map")
    return found


def build(train=None, **settings):
    torch.manual_seed(0)
    model = pretrainers.get("scale")(**{**SMALL, **settings})
    model.setup(train or heard(), RunContext())
    return model


def test_weights_by_hand():
    logits = {"a": torch.tensor(1.0), "b": torch.tensor(0.0), "c": torch.tensor(-1.0)}
    terms = {("a", "b"): torch.tensor(2.0), ("a", "c"): torch.tensor(3.0), ("b", "c"): torch.tensor(5.0)}
    w = 3 * np.exp([1, 0, -1]) / np.exp([1, 0, -1]).sum()
    assert float(harmonised(logits, terms)) == pytest.approx(float(w @ [2, 3, 5]), rel=1e-5)
    even = {name: torch.zeros(()) for name in logits}
    assert float(harmonised(even, terms)) == pytest.approx(10)
    with pytest.raises(DataError):
        harmonised(logits, {})


def test_the_loss_is_the_sum_of_its_weighed_terms():
    model = build().eval()
    assert model.modalities == ("text", "image", "audio")
    with torch.no_grad():
        model.importance["audio"].fill_(-1.0)
        out = model.loss(ExampleBatch(ROWS[:, None]))
    one = {m: out[m] for m in model.modalities}
    e = {"text": 1.0, "image": 1.0, "audio": np.exp(-1)}
    masked = 3 * sum(e[m] * float(one[m]) for m in one) / sum(e.values())
    assert float(out["masked"]) == pytest.approx(masked, rel=1e-5)
    assert float(out["loss"]) == pytest.approx(float(out["masked"] + out["contrast"]), rel=1e-5)
    assert {"text-image", "text-audio", "image-audio"} < set(out)


def test_contrast_is_over_items_that_have_both():
    model = build(heard(no_sound=[1], no_picture=[0]), objectives=("contrast",)).eval()
    with torch.no_grad():
        found = model.loss(ExampleBatch(ROWS[:, None]))
        rows = torch.tensor([0, 2, 3])
        expected = info_nce(model.vectors("text", rows), model.vectors("audio", rows), 0.2, symmetric=True)
        rows = torch.tensor([2, 3])
        other = info_nce(model.vectors("image", rows), model.vectors("audio", rows), 0.2, symmetric=True)
    assert float(found["text-audio"]) == pytest.approx(float(expected), rel=1e-3)
    assert float(found["image-audio"]) == pytest.approx(float(other), rel=1e-3)
    assert "masked" not in found


@pytest.mark.parametrize("modality", ["text", "image", "audio"])
def test_hidden_tokens_are_not_seen(modality):
    """All of a modality hidden: its states do not depend on what it is."""
    model = build(masked=0.999).eval()
    present = torch.ones(4, dtype=torch.bool)
    task, inputs = model.tasks[modality], model.inputs.read(modality, ROWS)
    shifted = inputs.roll(1, 0) if modality != "text" else torch.where(inputs >= 5, 9.0, inputs)
    if modality == "text":
        torch.manual_seed(0)
        (one, _), where, truth = task.mask_inputs(inputs, present, 0.999)
        assert torch.equal(where, inputs >= 5) and torch.equal(truth, inputs[where].long())
        return
    with torch.no_grad():
        (one, _), where = task.mask_inputs(inputs, present, 0.999)
        (other, _), _ = task.mask_inputs(shifted, present, 0.999)
    targets = model.targets[modality]
    assert where.all() and not torch.allclose(targets(ROWS), targets(ROWS.roll(1)), atol=1e-3)
    torch.testing.assert_close(one, other)


def test_masked_regions_and_stretches_by_hand():
    model = build(masked=0.999).eval()
    present = torch.ones(4, dtype=torch.bool)
    with torch.no_grad():
        encoded = [model.read(m, ROWS, present) for m in model.modalities]
        parts = [(states + model.kinds[m], mask) for m, ((states, mask), _, _) in zip(model.modalities, encoded)]
        states, found = model.joint(parts), model.masked(encoded)
        for i, modality in ((1, "image"), (2, "audio")):
            error = model.tasks[modality].guess(states[i]) - model.targets[modality](ROWS)
            assert float(found[i]) == pytest.approx(float(error.square().mean()), rel=1e-4)


def test_hiding_one_stretch_leaves_no_trace_in_its_neighbours():
    model = build().eval()
    reader, sounds = model.sides["audio"].reader, model.inputs.read("audio", ROWS)
    hidden = torch.tensor([[False, True, False, False]]).expand(4, -1)
    louder = sounds.clone()
    louder[:, :, :, 4:8] = 1
    with torch.no_grad():
        torch.testing.assert_close(reader(sounds, hidden)[0], reader(louder, hidden)[0])


def test_missing_modalities_have_no_tokens():
    model = build(heard(no_sound=[0, 1], no_picture=[1], no_text=[2])).eval()
    assert set(model.train_items) | set(model.eval_items) == set(range(N)) and 1 not in model.eval_items
    with torch.no_grad():
        audio, image = (model.read(m, ROWS, model.has[ROWS, i])[0] for i, m in ((2, "audio"), (1, "image")))
    assert audio[1].any(1).tolist() == [False, False, True, True]
    assert image[1].any(1).tolist() == [True, False, True, True]
    model.train()
    for rows in (ROWS, ROWS[:2], ROWS[1:2]):
        model.zero_grad()
        model.loss(ExampleBatch(rows[:, None]))["loss"].backward()
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_importance_moves_only_if_harmonised():
    for harmonise in (True, False):
        model = build(harmonised=harmonise)
        model.loss(ExampleBatch(ROWS[:, None]))["loss"].backward()
        grads = [p.grad for p in model.importance.values()]
        assert all(g is not None and g != 0 for g in grads) if harmonise else all(g is None for g in grads)
    assert not build(objectives=("masked",)).phases()[0].validate


def test_modalities_find_each_other():
    model = build(dim=32, width=16, tau=0.3)
    rows = torch.from_numpy(model.train_items)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(120):
        optimiser.zero_grad()
        model.loss(ExampleBatch(rows[torch.randperm(len(rows))[:16], None]))["loss"].backward()
        optimiser.step()
    model.eval()
    kept = torch.from_numpy(model.eval_items)
    with torch.no_grad():
        asked = model.vectors("text", kept)
        for modality in ("audio", "image"):
            best = rows[(asked @ model.vectors(modality, rows).T).argmax(1)]
            assert (best % 4 == kept % 4).float().mean() > 0.7
    assert 0 < model.validation_score() <= 1


def test_one_modality_is_refused():
    with pytest.raises(ConfigError, match=r"found text$"):
        build(view(image=False))
    with pytest.raises(ConfigError, match="at least 2 items"):
        build(view(4, no_picture=[0, 1, 2]))


def tone(pitch):
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes((8000 * np.sin(np.arange(2400) * pitch)).astype("<i2").tobytes())
    return out.getvalue()


def test_exported_encoders_travel(tmp_path):
    data = shop()
    frame = data.items.frame.with_columns(sound=pl.Series([tone(0.2 * (1 + i % 4)) for i in range(40)]))
    data = replace(data, items=replace(data.items, frame=frame, kinds={**data.items.kinds, "sound": "audio"}))
    readers = {**READERS, "audio": "mel?bands=8&seconds=0.3"}
    model = pretrainers.get("scale")(**SMALL, epochs=2)
    encoders = pretrain(model, data, tmp_path / "out", readers=readers, device="cpu")
    assert set(encoders) == {"text", "image", "audio"}
    for modality, encoder in encoders.items():
        raw = data.items.raw(modality)
        found = load_encoder(tmp_path / "out" / modality).encode([*raw[:3], None])
        assert found.dim == 8 and found.present.tolist() == [True] * 3 + [False]
        np.testing.assert_array_equal(found.values, encoder.encode([*raw[:3], None]).values)
        seen = model.train_items[:3]
        with torch.no_grad():
            expected = model.vectors(modality, torch.from_numpy(seen))
        np.testing.assert_allclose(encoder.encode([raw[i] for i in seen]).values, expected.numpy(), atol=1e-5)
        assert torch.allclose(expected.norm(dim=1), torch.ones(3), atol=1e-5) and F.relu(expected).any()
