"""Pretraining from public checkpoints: what is read, what moves, what is left behind; recommenders that tune them."""

import io
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

pytest.importorskip("transformers")

import hf_tiny

import palate
from palate.contracts import models, pretrainers
from palate.core.errors import UnsupportedError
from palate.core.tuning import parse_tuning
from palate.features.encoders.make import make_encoder
from palate.features.initialization import InitSpec
from palate.features.plan import plan_content
from palate.features.saved import load_encoder
from palate.training.pretrain import pretrain

STARTS = [
    ("clip", "image", "vit"), ("clip", "image", "dinov2"), ("clip", "image", "clip"), ("clip", "image", "siglip"),
    ("clip", "text", "clip"), ("clip", "text", "siglip"), ("clip", "text", "bert?pooling=cls"),
    ("clap", "text", "clap?max_length=9"), ("clap", "audio", "clap"), ("clap", "audio", "wav2vec2?seconds=1"),
]  # fmt: skip
LORA = [("clip", "image", "clip"), ("clip", "text", "clip"), ("clap", "audio", "clap"), ("clap", "audio", "wav2vec2")]
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}
OTHERS = {"image": "pixels?side=16", "text": "pieces?size=60&length=8", "audio": "mel?seconds=1&bands=16"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("tiny")
    for name in ("bert", "albert", "clip", "siglip", "vit", "dinov2", "clap", "wav2vec2"):
        getattr(hf_tiny, name)(root / name)
    return root


@pytest.fixture(scope="module")
def shop():
    """A title, a picture and a sound of half a second to a second each; users take what has one colour."""
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    names, n = list(COLOURS), 24
    rows = []
    for i in range(n):
        pixels = np.clip(np.array(COLOURS[names[i % 3]]) + rng.integers(-20, 20, (40, 36, 3)), 0, 255).astype(np.uint8)
        photo, sound = io.BytesIO(), io.BytesIO()
        Image.fromarray(pixels).save(photo, "PNG")
        wave = np.sin(np.arange(rng.integers(4000, 8000)) * (1 + i % 3) / 20)
        soundfile.write(sound, wave.astype(np.float32), 8000, format="WAV", subtype="FLOAT")
        title = f"a {names[i % 3]} lamp" + " with light" * (i % 4)
        rows.append((f"i{i:02d}", title, photo.getvalue(), None if i == 5 else sound.getvalue()))
    items = pl.DataFrame(rows, schema=["item", "title", "photo", "sound"], orient="row")
    log = pl.DataFrame({"user": [f"u{u}" for u in range(12) for _ in range(4)], "place": [*range(4)] * 12})
    log = log.with_columns(item=pl.Series([f"i{(u % 3) + 3 * int(p):02d}" for u in range(12)
                                           for p in np.random.default_rng(u).permutation(8)[:4]]))  # fmt: skip
    columns = {"item": "id", "title": "text", "photo": "image", "sound": "audio"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="random:seed=0")


def run(made, shop, out, system, modality, name, tuning="full", epochs=1):
    model = pretrainers.get(system)(dim=16, width=dim(made, modality, name), layers=1, batch_size=12, epochs=epochs)
    spec = f"hf:{made}/{name}"
    readers = {kind: reader for kind, reader in OTHERS.items() if kind != modality}
    return pretrain(model, shop, out, readers=readers, start={modality: spec}, tuning=tuning)[modality]


def dim(made, modality, name):
    return make_encoder(f"hf:{made}/{name}", modality).dim


def unit(made, shop, modality, name):
    found = make_encoder(f"hf:{made}/{name}", modality).encode(shop.items.raw(modality)).values
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


@pytest.mark.parametrize(("system", "modality", "name"), STARTS)
def test_nothing_learnt_is_the_checkpoint(made, shop, tmp_path, system, modality, name):
    found = run(made, shop, tmp_path / "out", system, modality, name, epochs=0).encode(shop.items.raw(modality))
    np.testing.assert_allclose(found.values, unit(made, shop, modality, name), atol=1e-5)


@pytest.mark.parametrize(("system", "modality", "name"), STARTS)
def test_one_epoch_moves_it_and_the_folder_needs_no_checkpoint(made, shop, tmp_path, system, modality, name):
    folder = name.partition("?")[0]
    shutil.copytree(made / folder, tmp_path / folder)
    found = run(tmp_path, shop, tmp_path / "out", system, modality, name)
    after = found.encode(shop.items.raw(modality))
    assert np.abs(after.values - unit(made, shop, modality, name)).max() > 1e-4
    shutil.rmtree(tmp_path / folder)
    again = load_encoder(tmp_path / "out" / modality)
    np.testing.assert_array_equal(again.encode(shop.items.raw(modality)).values, after.values)


@pytest.mark.parametrize(("system", "modality", "name"), LORA)
def test_low_rank_moves_only_maps_of_layers_and_only_by_a_low_rank(made, shop, tmp_path, system, modality, name):
    name = f"{name}?seconds=1" if name == "wav2vec2" else name
    found = run(made, shop, tmp_path / "out", system, modality, name, "lora:2")
    before = InitSpec.of(make_encoder(f"hf:{made}/{name}", modality), modality).weights
    after = {key.removeprefix("tower."): array for key, array in found.state()[0].items() if key.startswith("tower.")}
    assert after.keys() == before.keys()
    moved = {key: after[key] - before[key].numpy() for key in before if np.any(after[key] != before[key].numpy())}
    assert moved and all(key.startswith("stages.layers.") and key.endswith(".weight") for key in moved)
    assert all(np.linalg.matrix_rank(change, tol=1e-6) <= 2 for change in moved.values())


def test_checkpoints_without_a_list_of_layers_are_refused(made, shop, tmp_path):
    with pytest.raises(UnsupportedError, match="albert") as caught:
        run(made, shop, tmp_path / "out", "clip", "text", "albert")
    assert "bert, roberta" in caught.value.hint and "image: vit" in caught.value.hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("modality", "name"), [("image", "vit"), ("audio", "wav2vec2?seconds=1"), ("text", "clip")])
@pytest.mark.parametrize(("tuning", "fusion"), [("lora:4", "late"), ("partial:1", "early"), ("full", "intermediate")])
def test_a_recommender_trains_a_checkpoint_along(made, shop, tmp_path, modality, name, tuning, fusion):
    plan = {kind: "none" for kind in OTHERS} | {modality: f"hf:{made}/{name}"}
    model = models.get("vbpr")(dim=8, fused_dim=8, epochs=1, batch_size=16, tuning=tuning, fusion=fusion)
    torch.manual_seed(0)
    model.fit(shop, content=plan_content(shop, plan))
    wanted = model.recommend(users=["u1"], k=5)
    model.save(tmp_path / "run")
    again = palate.restore(tmp_path / "run").recommend(users=["u1"], k=5)
    assert again["item"].to_list() == wanted["item"].to_list()
    np.testing.assert_allclose(again["score"].to_numpy(), wanted["score"].to_numpy(), atol=1e-5)
    assert len(model.deployment.content.trained.trained())


@pytest.mark.parametrize(("modality", "name"), [("image", "clip"), ("audio", "clap"), ("text", "bert")])
def test_pretrained_towers_can_stop_between_layers_too(made, shop, tmp_path, modality, name):
    found = run(made, shop, tmp_path / "out", "clap" if modality == "audio" else "clip", modality, name)
    raws = [raw for raw in shop.items.raw(modality) if raw is not None]
    inputs = torch.from_numpy(found.preprocessor.encode(raws).values)
    network = found.network().prepare(parse_tuning("partial:1"), tuple(inputs.shape[1:])).eval()
    assert network.split == 1
    with torch.no_grad():
        np.testing.assert_allclose(network(network.lower(inputs)).numpy(), found.encode(raws).values, atol=1e-5)
