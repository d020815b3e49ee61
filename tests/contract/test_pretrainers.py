"""Every registered pretrainer, found by registration: what it may see, what it leaves behind, what it refuses."""

from __future__ import annotations

import inspect
import json

import numpy as np
import polars as pl
import pytest
import torch
from pretrain_case import SMALL, TINY, Ground, batches, poisoned, readers

import palate
from palate.contracts import pretrainers
from palate.core.errors import ConfigError
from palate.core.seeding import seed_torch
from palate.features.saved import load_encoder
from palate.training import loop
from palate.training.pretrain import pretrain

every = pytest.mark.parametrize("name", pretrainers.names())


@pytest.fixture(scope="module")
def ground(tmp_path_factory):
    return Ground.make(tmp_path_factory.mktemp("pretrainers"))


@every
def test_a_system_is_described(name):
    kind = pretrainers.get(name)
    module = inspect.getmodule(kind)
    siblings = [other for _, other in pretrainers.items() if other.__module__ == kind.__module__]
    assert kind.name == name
    assert len(siblings) > 1 or kind.__module__.rpartition(".")[2] == name, "a file is named like its only system"
    assert kind.task_name == kind.stage == "pretrain" and kind.paper and kind.__doc__
    assert module is not None and len(module.__doc__ or "") > 200, "equations, source and our choices belong there"
    assert inspect.getsource(module).count("\n") <= 250
    undescribed = [name for name, field in kind.Config.model_fields.items() if not field.description]
    assert not undescribed, f"give Field(description=...) for {undescribed}"
    for settings in kind.presets.values():
        kind(**settings)


@every
def test_settings_are_checked(name):
    with pytest.raises(ConfigError) as caught:
        pretrainers.get(name)(epochz=3)
    assert caught.value.key == "epochz"
    for field in pretrainers.get(name).Config.model_fields:
        with pytest.raises(ConfigError) as caught:
            pretrainers.get(name)(**{field: object()})
        assert str(caught.value.key).partition(".")[0] == field


@every
def test_encoders_encode_like_any_other(name, ground):
    data = ground.data()
    _, encoders, out = ground.trained(name)
    assert encoders and all(encoder.modality == modality for modality, encoder in encoders.items())
    for modality, encoder in encoders.items():
        again = load_encoder(out / modality)
        raws = data.items.raw(modality, np.arange(12))
        made = encoder.encode(raws)
        assert again.identity == encoder.identity and again.fitted_on
        np.testing.assert_array_equal(again.encode(raws).values, made.values)
        assert made.values.shape == (12, encoder.dim) and made.present.any()
        assert made.values[made.present].std(0).max() > 0, "all items look the same"


@every
def test_an_item_does_not_depend_on_its_batch(name, ground):
    _, encoders, _ = ground.trained(name)
    for modality, encoder in encoders.items():
        raws = [raw for raw in ground.data().items.raw(modality) if raw is not None][:5]
        whole = encoder.encode([*raws, None])
        assert not whole.present[5] and not whole.values[5].any()
        alone = np.concatenate([encoder.encode([raw]).values for raw in raws])
        np.testing.assert_allclose(whole.values[:5], alone, atol=1e-4)


@every
def test_the_seed_decides_every_bit(name, ground, tmp_path):
    _, first, _ = ground.trained(name)
    again = pretrain(ground.new(name), ground.data(), tmp_path / "again", readers=readers(name), store=ground.store)
    other = pretrain(
        ground.new(name), ground.data(), tmp_path / "other", seed=1, readers=readers(name), store=ground.store
    )
    assert {m: e.identity for m, e in again.items()} == {m: e.identity for m, e in first.items()}
    kept = pretrainers.get(name).deterministic
    assert all((other[m].identity == encoder.identity) == kept for m, encoder in first.items())


@every
def test_hidden_items_are_not_seen(name, ground, tmp_path):
    """Other titles and pictures of the items that the split hides: the same vectors to the bit."""
    data = ground.data()
    hidden = ~data.select_view().visible_items
    frame = data.items.frame
    shuffled = np.arange(len(frame))
    shuffled[hidden] = np.roll(shuffled[hidden], 1)
    content = [c for m in TINY for c in data.items.columns(m)]
    changed = frame.with_columns([frame[c].gather(shuffled) for c in content])
    items = type(data.items)(**{**vars(data.items), "frame": changed})
    other = type(data)(**{**{f: getattr(data, f) for f in data.__dataclass_fields__}, "items": items})
    assert other.hash != data.hash
    _, first, _ = ground.trained(name)
    second = pretrain(ground.new(name), other, tmp_path / "other", readers=readers(name), store=ground.store)
    for modality, encoder in first.items():
        raws = data.items.raw(modality, np.arange(8))
        np.testing.assert_array_equal(encoder.encode(raws).values, second[modality].encode(raws).values)


@every
def test_examples_are_of_items_that_may_be_seen(name, ground):
    model, examples = ground.ready(name)
    assert examples.dtype == np.int64 and examples.ndim == 2 and len(examples) > 1
    assert examples.min() >= -1
    model.eval()
    assert np.isfinite(model.validation_score()) and model.validation_score() == model.validation_score()


@every
def test_absent_content_is_never_read(name, ground):
    view = ground.view(ground.new(name))
    losses = []
    for given in (view, poisoned(view)):
        model, examples = ground.ready(name, given)
        seed_torch(0, "loss", name)
        losses.append([float(model.loss(batch)["loss"].detach()) for batch in batches(examples, 16)[:4]])
    assert np.isfinite(losses[0]).all()
    assert losses[0] == losses[1]


@every
def test_every_weight_is_trained(name, ground):
    model, examples = ground.ready(name)
    model.train()
    moved: set[str] = set()
    for phase in model.phases():
        wanted = {id(p) for p in phase.parameters}
        waiting = {n for n, p in model.named_parameters() if id(p) in wanted and p.requires_grad} - moved
        for batch in batches(np.resize(examples, (16 * 40, examples.shape[1])), 16):
            if waiting <= moved:
                break
            model.zero_grad()
            (phase.loss or model.loss)(batch)["loss"].backward()
            moved |= {
                n for n, p in model.named_parameters() if id(p) in wanted and p.grad is not None and bool(p.grad.any())
            }
    idle = [n for n, p in model.named_parameters() if p.requires_grad and n not in moved]
    assert not idle, f"no gradient ever reaches {idle}"


@every
def test_training_lowers_the_loss(name, ground):
    model, examples = ground.ready(name, lr=3e-3)
    phase = model.phases()[0]
    parts = batches(examples, 16)[:4]
    optimiser = torch.optim.Adam(phase.parameters, lr=3e-3)
    model.train()

    def mean() -> float:
        seed_torch(0, "loss", name)
        return float(np.mean([float((phase.loss or model.loss)(batch)["loss"].detach()) for batch in parts * 3]))

    before = mean()
    for _ in range(6):
        for batch in parts:
            optimiser.zero_grad()
            (phase.loss or model.loss)(batch)["loss"].backward()
            optimiser.step()
    assert mean() < before


@every
def test_a_killed_run_resumes_to_the_same_bits(name, ground, tmp_path, monkeypatch):
    file, epoch = tmp_path / "checkpoint.safetensors", loop._PhaseRun.epoch
    data, settings = ground.data(), {"epochs": 2} if "epochs" in pretrainers.get(name).Config.model_fields else {}
    whole = pretrain(ground.new(name, **settings), data, tmp_path / "whole", readers=readers(name), store=ground.store)

    def killed(phase):
        if phase.state.epoch == 1:
            raise KeyboardInterrupt
        return epoch(phase)

    options = {"readers": readers(name), "store": ground.store, "checkpoint": file}
    monkeypatch.setattr(loop._PhaseRun, "epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        pretrain(ground.new(name, **settings), data, tmp_path / "resumed", checkpoint_seconds=-1, **options)
    assert file.exists() and not (tmp_path / "resumed").exists()
    monkeypatch.setattr(loop._PhaseRun, "epoch", epoch)
    resumed = pretrain(ground.new(name, **settings), data, tmp_path / "resumed", **options)
    assert {m: e.identity for m, e in resumed.items()} == {m: e.identity for m, e in whole.items()}
    assert not file.exists()


@every
def test_data_without_content_are_refused(name, tmp_path):
    rng = np.random.default_rng(0)
    items = pl.DataFrame({"item": [f"i{i}" for i in range(30)], "size": rng.normal(size=30)})
    log = pl.DataFrame({"user": rng.integers(12, size=120), "item": rng.integers(30, size=120)})
    log = log.with_columns(item=pl.format("i{}", "item")).unique(maintain_order=True)
    columns = {"item": "id", "size": "attributes"}
    data = palate.Dataset.from_frames(items, log, columns=columns, split="item_cold:seed=0")
    with pytest.raises(ConfigError):
        pretrain(pretrainers.get(name)(), data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@every
def test_the_manifest_says_what_was_learnt_from(name, ground):
    data = ground.data()
    _, encoders, out = ground.trained(name)
    facts = json.loads((out / "pretrained.json").read_text())
    assert facts["model"] == name and facts["hash"] == data.hash and facts["split"] == str(data.spec)
    fit = data.select_view().visible_items
    corpus = facts["corpus"]
    assert corpus["items"] == int(fit.sum())
    for modality in encoders:
        assert 0 < corpus["content"][modality] <= int(fit.sum())
    assert facts["history"] and facts["versions"]["palate"]


def test_small_settings_are_settings():
    for name in pretrainers.names():
        assert set(SMALL) & set(pretrainers.get(name).Config.model_fields) >= {"epochs", "lr"}
