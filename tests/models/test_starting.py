"""Pretraining that starts from an encoder: its weights, its tokenizer, what is trained, what is left behind."""

import shutil

import numpy as np
import pytest
import torch
from test_contrast_pretraining import READERS, SMALL, shop

from palate.contracts import pretrainers
from palate.core.errors import ConfigError, UnsupportedError
from palate.features.encoders.make import make_encoder
from palate.features.saved import load_encoder
from palate.modules.frozen_state_cache import FrozenStateCache
from palate.modules.towers import run_tower
from palate.training.pretrain import pretrain

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A BERT of two layers with a tokenizer of its own."""
    folder = tmp_path_factory.mktemp("bert")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "lamp", "red", "green", "blue", "yellow"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    transformers.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    return folder


def run(out, checkpoint, tuning="full", epochs=2, **more):
    data, _ = shop()
    model = pretrainers.get("clip")(**{**SMALL, "width": 16, "epochs": epochs, **more})
    readers = {"image": READERS["image"]}
    return pretrain(model, data, out, readers=readers, start={"text": f"hf:{checkpoint}"}, tuning=tuning)


def test_what_is_below_the_split_is_made_once_and_nothing_else_changes(checkpoint, tmp_path, monkeypatch):
    asked = []
    below = FrozenStateCache.lower_states
    monkeypatch.setattr(
        FrozenStateCache,
        "lower_states",
        lambda self, tower, ids: asked.extend(map(bytes, ids.numpy())) or below(self, tower, ids),
    )
    found = run(tmp_path / "out", checkpoint, "partial:1", epochs=3)["text"]
    assert len(asked) == len(set(asked)) > 1
    monkeypatch.setattr(FrozenStateCache, "__call__", lambda self, tower, ids: run_tower(tower, ids))
    other = run(tmp_path / "again", checkpoint, "partial:1", epochs=0)["text"]
    texts = ["a red lamp", "a blue lamp"]
    assert np.abs(found.encode(texts).values - other.encode(texts).values).max() > 1e-4


def test_nothing_learnt_is_the_encoder_it_started_from(checkpoint, tmp_path):
    found = run(tmp_path / "out", checkpoint, epochs=0)["text"]
    texts = ["a red lamp", "a blue lamp", "lamp"]
    before = make_encoder(f"hf:{checkpoint}?normalize=true", "text").encode(texts).values
    np.testing.assert_allclose(found.encode(texts).values, before, atol=1e-5)


@pytest.mark.parametrize("tuning", ["full", "partial:1", "lora:2"])
def test_what_is_left_behind_needs_no_checkpoint(checkpoint, tmp_path, tuning):
    copy = shutil.copytree(checkpoint, tmp_path / "checkpoint")
    trained = run(tmp_path / "out", copy, tuning)["text"]
    texts = ["a red lamp", "a blue lamp"]
    before = make_encoder(f"hf:{checkpoint}?normalize=true", "text").encode(texts).values
    after = trained.encode(texts).values
    assert np.abs(after - before).max() > 1e-4
    shutil.rmtree(copy)
    np.testing.assert_array_equal(load_encoder(tmp_path / "out" / "text").encode(texts).values, after)


def test_low_rank_moves_weights_by_a_low_rank(checkpoint, tmp_path):
    trained = run(tmp_path / "out", checkpoint, "lora:2")["text"]
    before = transformers.BertModel.from_pretrained(checkpoint, add_pooling_layer=False).state_dict()
    moved = {}
    for name, array in trained.state()[0].items():
        if name.startswith("tower."):
            key = name.removeprefix("tower.stages.").replace("layers.", "encoder.layer.", 1).removeprefix("enter.")
            moved[key] = array - before[key].numpy()
    assert not np.any(moved["embeddings.word_embeddings.weight"])
    found = moved["encoder.layer.0.attention.self.query.weight"]
    assert np.any(found) and np.linalg.matrix_rank(found, tol=1e-6) <= 2


def test_partial_leaves_what_is_below_alone(checkpoint, tmp_path):
    trained = run(tmp_path / "out", checkpoint, "partial:1")["text"].state()[0]
    before = run(tmp_path / "before", checkpoint, epochs=0)["text"].state()[0]
    moved = {name for name in trained if name.startswith("tower.") and not np.array_equal(trained[name], before[name])}
    places = {name.split("layers.")[1].split(".")[0] for name in moved}
    assert moved and all("layers." in name for name in moved) and places == {"1"}


def test_a_pretrained_folder_is_gone_on_from(tmp_path):
    data, _ = shop()
    model = pretrainers.get("clip")(**{**SMALL, "epochs": 2})
    first = pretrain(model, data, tmp_path / "first", readers=READERS)["image"]
    again = pretrain(
        pretrainers.get("clip")(**{**SMALL, "epochs": 0}),
        data,
        tmp_path / "second",
        readers={"text": READERS["text"]},
        start={"image": str(tmp_path / "first" / "image")},
    )["image"]
    a, b = first.state()[0], again.state()[0]
    assert all(np.array_equal(a[name], b[name]) for name in a if name.startswith("tower."))
    assert again.of.identity == first.of.identity


def test_what_cannot_be_started_from_is_refused(checkpoint, tmp_path):
    data, _ = shop()
    small = {"dim": 16, "layers": 1, "epochs": 1}
    with pytest.raises(UnsupportedError, match="tfidf"):
        pretrain(pretrainers.get("clip")(**SMALL), data, tmp_path / "out", start={"text": "tfidf"})
    with pytest.raises(ConfigError, match="networks of its own"):
        pretrain(pretrainers.get("uniter")(**small), data, tmp_path / "out", start={"text": f"hf:{checkpoint}"})
    with pytest.raises(ConfigError, match="in full, partial"):
        run(tmp_path / "out", checkpoint, "prompt:4")
    assert not (tmp_path / "out").exists()
