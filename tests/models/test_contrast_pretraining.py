"""CLIP, CLAP, ImageBind: the loss by hand, what is hidden stays unseen, and what is exported encodes like any other."""

import io
import math

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

import palate
from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.files import read_json
from palate.features.plan import ContentPlan, plan_content
from palate.features.saved import load_encoder
from palate.features.store import FeatureStore
from palate.models.pretrain.shared.contrastive import clipped_scale
from palate.training import loop
from palate.training.pretrain import pretrain

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220), "yellow": (230, 220, 40)}
ITEMS = 80
SMALL = {"dim": 16, "width": 8, "layers": 1, "batch_size": 32, "lr": 3e-3}
READERS = {"image": "pixels?side=16", "text": "pieces?size=60&length=8"}


def picture(colour, rng):
    noise = rng.integers(-20, 20, (16, 16, 3))
    pixels = np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def shop(hidden=None):
    """Titles name the colour that the picture shows; ``hidden`` replaces pictures of items that training cannot see."""
    rng = np.random.default_rng(0)
    names = list(COLOURS)
    colours = [names[i % 4] for i in range(ITEMS)]
    images = [picture(colour, rng) for colour in colours]
    data = frame(colours, images)
    if hidden is not None:
        unseen = np.flatnonzero(~data.select_view().visible_items)
        for row in unseen:
            images[row] = hidden
        data = frame(colours, images)
    return data, colours


def frame(colours, images):
    items = pl.DataFrame(
        {"item": [f"i{i}" for i in range(ITEMS)], "title": [f"a {c} lamp" for c in colours], "photo": images}
    )
    rng = np.random.default_rng(1)
    log = pl.DataFrame({"user": rng.integers(20, size=400), "item": rng.integers(ITEMS, size=400)})
    log = log.with_columns(item=pl.format("i{}", "item")).unique(maintain_order=True)
    columns = {"item": "id", "title": "text", "photo": "image"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="item_cold:seed=0")


def build(name="clip", **settings):
    return pretrainers.get(name)(**{**SMALL, **settings})


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    data, colours = shop()
    out = tmp_path_factory.mktemp("pretrained") / "clip"
    model = build(epochs=40, patience=40, tau=0.5)
    return data, colours, out, model, pretrain(model, data, out, readers=READERS)


def test_the_loss_is_clips():
    """Two items, cosines by hand: 1/2 [CE(rows) + CE(columns)] of exp(s) cos."""
    data, _ = shop()
    model = build(tau=0.5)
    content = ContentPlan({m: (m, spec, None) for m, spec in READERS.items()}, FeatureStore(None))
    model.setup(content.view(data.select_view(), data), RunContext())
    model.eval()
    rows = torch.from_numpy(model.train_items[:2])
    with torch.no_grad():
        a, b = model.vectors("image", rows), model.vectors("text", rows)
        logits = (a @ b.T) / 0.5
        both = [torch.logsumexp(x, 1) - x.diagonal() for x in (logits, logits.T)]
        found = model.loss(ExampleBatch(rows[:, None]))["loss"]
    assert float(found) == pytest.approx(float(torch.stack(both).mean()), abs=1e-5)
    assert float(model.scales[0].detach()) == pytest.approx(math.log(2), abs=1e-6)


def test_the_scale_itself_is_clipped_and_can_come_back():
    scale = torch.nn.Parameter(torch.tensor(6.0))
    used = clipped_scale(scale)
    assert float(used.detach()) == pytest.approx(100.0) and float(scale.detach()) == pytest.approx(math.log(100))
    used.backward()
    assert float(scale.grad) == pytest.approx(100.0), "clipping only the use would leave it without a gradient"
    assert float(clipped_scale(torch.nn.Parameter(torch.tensor(math.log(7.0)))).detach()) == pytest.approx(7.0)


def test_no_loss_uses_a_scale_above_100():
    data, _ = shop()
    model = build(tau=1e-9)
    content = ContentPlan({m: (m, spec, None) for m, spec in READERS.items()}, FeatureStore(None))
    model.setup(content.view(data.select_view(), data), RunContext())
    model.loss(ExampleBatch(torch.from_numpy(model.train_items[:4])[:, None]))
    assert float(model.scales[0].detach()) == pytest.approx(math.log(100))


def test_pictures_find_their_words(trained):
    data, colours, _, _, encoders = trained
    images = encoders["image"].encode(data.items.raw("image")).values
    words = encoders["text"].encode([f"a {c} lamp" for c in COLOURS]).values
    named = [list(COLOURS)[i] for i in (images @ words.T).argmax(1)]
    assert np.mean([a == b for a, b in zip(named, colours)]) > 0.9
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)


def test_what_is_exported_encodes_like_any_other(trained):
    data, _, out, _, encoders = trained
    again = load_encoder(out / "image")
    assert again.identity == encoders["image"].identity and again.fitted_on
    raw = data.items.raw("image")[:5]
    np.testing.assert_array_equal(again.encode(raw).values, encoders["image"].encode(raw).values)
    assert not again.encode([None, raw[0]]).present[0]
    content = plan_content(data, {"image": str(out / "image"), "text": str(out / "text")})
    view = content.view(data.select_view(), data)
    assert view.features["image"].dim == 8 and view.features["text"].identity == encoders["text"].identity


def test_items_that_the_split_hides_are_not_seen(trained, tmp_path):
    _, _, _, _, encoders = trained
    grey = picture("blue", np.random.default_rng(9))
    data, _ = shop(hidden=grey)
    other = pretrain(build(epochs=40, patience=40, tau=0.5), data, tmp_path / "other", readers=READERS)
    raw = [picture("red", np.random.default_rng(3))]
    np.testing.assert_array_equal(other["image"].encode(raw).values, encoders["image"].encode(raw).values)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path, monkeypatch):
    data, _ = shop()
    file = tmp_path / "checkpoint.safetensors"
    whole = pretrain(build(epochs=4), data, tmp_path / "whole", readers=READERS)
    epoch = loop._PhaseRun.epoch

    def killed(phase):
        if phase.state.epoch == 2:
            raise KeyboardInterrupt
        return epoch(phase)

    monkeypatch.setattr(loop._PhaseRun, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(build(epochs=4), data, tmp_path / "resumed", readers=READERS, checkpoint=file, checkpoint_seconds=-1)
    assert file.exists() and not (tmp_path / "resumed").exists()
    monkeypatch.setattr(loop._PhaseRun, "epoch", epoch)
    resumed = pretrain(build(epochs=4), data, tmp_path / "resumed", readers=READERS, checkpoint=file)
    assert resumed["image"].identity == whole["image"].identity and not file.exists()


def test_every_modality_is_paired_with_the_anchor():
    model = build("imagebind", anchor="text")
    assert model.modality_pairs() == (("text", "image"), ("text", "audio"))
    assert build("clap").modality_pairs() == (("audio", "text"),)


def test_partners_can_be_dealt_at_random(tmp_path):
    data, _ = shop()
    plan = {modality: (modality, spec, None) for modality, spec in READERS.items()}
    view = ContentPlan(plan, FeatureStore(None)).view(data.select_view(), data)
    torch.manual_seed(0)
    dealt, own = build(shuffled=True), build()
    for model in (dealt, own):
        model.setup(view, RunContext())
    partners = dealt.positives["image", "text"].numpy()
    assert np.array_equal(np.sort(partners[dealt.train_items]), dealt.train_items)
    assert (partners[dealt.train_items] != dealt.train_items).mean() > 0.9
    assert np.array_equal(partners[dealt.eval_items], dealt.eval_items)
    own.load_state_dict(dealt.state_dict())
    rows = torch.from_numpy(dealt.train_items[:4])
    own.positives["image", "text"][rows] = dealt.positives["image", "text"][rows]
    dealt.eval(), own.eval()
    batch = ExampleBatch(rows[:, None])
    with torch.no_grad():
        assert float(own.loss(batch)["loss"]) == pytest.approx(float(dealt.loss(batch)["loss"]), rel=1e-6)


def test_where_nothing_is_held_out_every_epoch_is_run(tmp_path):
    data, _ = shop()
    pretrain(build(held=0, epochs=3, patience=1), data, tmp_path / "out", readers=READERS, device="cpu")
    history = read_json(tmp_path / "out" / "pretrained.json")["history"]
    assert len(history) == 3 and not any("valid" in epoch for epoch in history)


def test_data_without_the_modalities_is_refused(tmp_path):
    data, _ = shop()
    with pytest.raises(ConfigError, match="audio with text"):
        pretrain(build("clap"), data, tmp_path / "clap", readers=READERS)
    assert not (tmp_path / "clap").exists()
