"""AttributeRidge: maps by hand, items left out in turn, attributes that reach vectors, what is refused."""

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from taste import COLOURS, ITEMS, colour_of, picture, same_colour

import palate
from palate.contracts import pretrainers
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, vectors_of
from palate.features.plan import ContentPlan
from palate.features.saved import load_encoder
from palate.features.store import FeatureStore
from palate.models.pretrain import attribute_ridge
from palate.modules.towers import AttributeProjection
from palate.training.pretrain import pretrain

READERS = {"image": "image_stats", "text": "tfidf?min_df=1"}
WORDS = {"red": ("warm", "fire"), "green": ("fresh", "leaf"), "blue": ("cold", "sea"), "yellow": ("bright", "sun")}


def shop(titled=True, labelled=True, sizes=False):
    """Titles that hint at a colour by one of two words, photos that show it, and a column that names it."""
    rng = np.random.default_rng(0)
    frame = {
        "item": [f"i{i}" for i in range(ITEMS)],
        "title": [
            f"a {WORDS[colour_of(i)][rng.integers(2)]} lamp number{i}" if titled or i % 3 else None
            for i in range(ITEMS)
        ],
        "photo": [picture(colour_of(i), rng) for i in range(ITEMS)],
    }
    columns = {"item": "id", "title": "text", "photo": "image"}
    if labelled:
        frame["colour"] = [colour_of(i) if i % 7 else None for i in range(ITEMS)]
        columns["colour"] = "attributes"
    if sizes:
        frame["size"] = [float(i % 4) for i in range(ITEMS)]
        columns["size"] = "attributes"
    log = pl.DataFrame(
        [(u, f"i{i}") for u in range(20) for i in range(u % 4, ITEMS, 4)], schema=["user", "item"], orient="row"
    )
    return palate.Dataset.from_frames(pl.DataFrame(frame), log, columns=columns, split="item_cold:seed=0")


def set_up(data, readers=READERS, **settings):
    model = pretrainers.get("attribute_ridge")(least=2, **settings)
    plan = {m: (m, spec, None) for m, spec in readers.items() if m in data.items.modalities}
    view = ContentPlan(plan, FeatureStore(None), model.columns(data.items)).view(data.select_view(), data, fields=True)
    torch.manual_seed(0)
    model.setup(view, RunContext())
    return model


def test_the_vector_is_the_content_and_its_predictions():
    tower = AttributeProjection(2, 3, weight=0.5)
    with torch.no_grad():
        tower.map.copy_(torch.tensor([[3.0, 1.0]]))
        tower.mean.copy_(torch.tensor([1.0, 1.0]))
        tower.scale.copy_(torch.tensor([1.0, 2.0]))
    values, mask = tower(torch.tensor([[4.0, 9.0], [1.0, 1.0]]))
    torch.testing.assert_close(values[:, 0], torch.tensor([[0.6, 0.8, 0.5], [0.0, 0.0, 0.0]]))
    assert mask.all()


def test_maps_are_ridge_regressions_and_the_ridge_is_chosen_on_left_out_items(monkeypatch):
    monkeypatch.setattr(attribute_ridge, "RIDGES", (0.7,))
    model = set_up(shop())
    model.solve_all(0.0, np.random.default_rng(0))
    rows = model.rows["text"]
    x = model.inputs.read("text", torch.from_numpy(rows)).double()
    share = model.labels[rows].double().mean(0)
    y = (model.labels[rows].double() - share) / (share * (1 - share)) ** 0.25
    told = {}
    for scale in (1.0, x.std(0) + 1e-6):
        u = F.normalize((x - x.mean(0)) / scale, dim=1)
        missed = []
        for out in range(len(rows)):
            left = [row for row in range(len(rows)) if row != out]
            a = torch.linalg.solve(u[left].T @ u[left] + 0.7 * torch.eye(u.shape[1]), u[left].T @ y[left])
            missed.append((y[out] - u[out] @ a).square().sum())
        whole = torch.linalg.solve(u.T @ u + 0.7 * torch.eye(u.shape[1]), u.T @ y)
        told[1 - float(torch.stack(missed).sum() / y.square().sum())] = whole.T
    best = max(told)
    assert model.explained["text"] == pytest.approx(best, abs=1e-4)
    torch.testing.assert_close(model.tower("text").map.detach().double(), told[best], atol=1e-4, rtol=1e-3)


def test_two_words_of_one_colour_become_alike_and_the_label_is_not_needed(tmp_path):
    data = shop(titled=False)
    model = pretrainers.get("attribute_ridge")(least=2)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS)
    assert set(encoders) == {"text", "image"} and 0 < model.validation_score() < 1
    colours = [colour for colour, words in WORDS.items() for _ in words]
    asked = [word for words in WORDS.values() for word in words]
    still = pretrain(pretrainers.get("attribute_ridge")(least=2, epochs=0), data, tmp_path / "still", readers=READERS)
    assert same_colour(encoders["text"], asked, colours) == 1 > same_colour(still["text"], asked, colours)
    again = load_encoder(tmp_path / "out" / "image")
    raws = data.items.raw("image")
    found = again.encode([*raws[:4], None])
    assert found.present.tolist() == [True] * 4 + [False]
    np.testing.assert_array_equal(found.values[:4], encoders["image"].encode(raws[:4]).values)


def test_vectors_of_a_pretrained_encoder_are_accepted(tmp_path):
    data = shop()
    small = pretrainers.get("patch_atoms")(atoms=8, size=3, grid=2, width=6, epochs=1, batch_size=16)
    pretrain(small, data, tmp_path / "patches", readers={"image": "pixels?side=16"})
    readers = {"text": READERS["text"], "image": str(tmp_path / "patches" / "image")}
    encoders = pretrain(pretrainers.get("attribute_ridge")(least=2), data, tmp_path / "out", readers=readers)
    raws = data.items.raw("image", np.arange(5))
    again = load_encoder(tmp_path / "out" / "image").encode(raws)
    assert again.values.shape == (5, 6 + len(COLOURS))
    np.testing.assert_array_equal(again.values, encoders["image"].encode(raws).values)


def test_the_store_encodes_once_what_several_towers_read(tmp_path, monkeypatch):
    data, asked = shop(), []
    small = pretrainers.get("patch_atoms")(atoms=8, size=3, grid=2, width=6, epochs=1, batch_size=16)
    patches = pretrain(small, data, tmp_path / "patches", readers={"image": "pixels?side=16"})["image"]
    readers = {"image": str(tmp_path / "patches" / "image")}
    found = [
        pretrain(pretrainers.get("attribute_ridge")(least=least), data, tmp_path / f"{least}", readers=readers)["image"]
        for least in (2, 3)
    ]
    read = type(patches).embed
    monkeypatch.setattr(Tower, "embed", lambda self, contents: asked.append(len(contents)) or read(self, contents))
    raws = [*data.items.raw("image"), None, b"no picture"]
    store, faults = FeatureStore(tmp_path / "store"), []
    encoded = [store.encode(encoder, raws, failures=faults) for encoder in found]
    assert sum(asked) == ITEMS and [fault.row for fault in faults] == [ITEMS + 1] * 2
    monkeypatch.undo()
    for encoder, features in zip(found, encoded):
        alone, _ = encoder.encode_valid(raws)
        np.testing.assert_array_equal(alone.present, features.present)
        np.testing.assert_allclose(alone.values, features.values, atol=1e-6)
        assert features.identity == encoder.identity


def test_numbers_are_cut_into_ranges():
    assert set_up(shop(sizes=True)).labels.shape[1] == 8
    assert set_up(shop(sizes=True), ranges=0).labels.shape[1] == 4
    assert set_up(shop(labelled=False, sizes=True), ranges=2).labels.shape[1] == 2


def test_unsuitable_inputs_are_refused():
    with pytest.raises(ConfigError, match="learns from vectors"):
        set_up(shop(), {"image": "pixels?side=16"})
    with pytest.raises(ConfigError, match="items with attributes"):
        set_up(shop(labelled=False))


def test_untrained_maps_keep_angles_roughly():
    torch.manual_seed(0)
    tower = AttributeProjection(50, 50 + 400)
    x = torch.randn(20, 50)
    told = tower(x)[0][:, 0, 50:].detach()
    assert float((told @ told.T - F.normalize(x, dim=1) @ F.normalize(x, dim=1).T).abs().max()) < 0.25
    assert vectors_of(torch.nn.ModuleDict({"tower": tower, "head": torch.nn.Identity()}), x).shape == (20, 450)
