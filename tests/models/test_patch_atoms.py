"""PatchAtoms: filters equal patches one by one, whitening, atoms that gather, vectors that tell pictures apart."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from taste import ITEMS, READERS, colour_of, same_colour, shop, view_of

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.features.saved import load_encoder
from palate.modules.patches import MIN_VARIANCE, WHITENING_EPS, PatchTower, normalize_contrast, sample_patches
from palate.training.pretrain import pretrain

SETTINGS = {"atoms": 12, "size": 3, "grid": 2, "patches": 16, "batch_size": 16, "held": 0.2, "epochs": 4, "width": 10}
PICTURES = torch.rand(5, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 2 - 1


def every_patch(pictures, size):
    return F.unfold(pictures, size).transpose(1, 2)


def begun(**settings):
    torch.manual_seed(0)
    tower = PatchTower(**{"dim": 48, "size": 3, "grid": 2, **settings})
    tower.initialize(every_patch(PICTURES, 3).flatten(0, 1))
    return tower.requires_grad_(False)


def test_filters_say_what_patches_one_by_one_say():
    tower = begun()
    patches = every_patch(PICTURES, 3)
    z = tower.whiten(patches.flatten(0, 1)).view(*patches.shape)
    said = F.relu(z @ F.normalize(tower.atoms, dim=1).T - tower.threshold).transpose(1, 2).view(5, 12, 7, 7)
    by_hand = torch.stack(
        [said[:, :, a, b].mean((2, 3)) for a in (slice(4), slice(3, 7)) for b in (slice(4), slice(3, 7))]
    )
    torch.testing.assert_close(tower.cell_means(PICTURES).flatten(2).permute(2, 0, 1), by_hand, atol=1e-5, rtol=1e-4)


def test_a_mirrored_or_dimmed_picture_is_nearly_the_same():
    tower = begun()
    values, mask = tower(PICTURES)
    assert values.shape == (5, 1, 48) and mask.all()
    torch.testing.assert_close(tower(PICTURES.flip(3))[0], values)
    other = tower(PICTURES * 0.8 + 0.1)[0]
    assert float((other - values).norm() / values.norm()) < 0.1 < float((values[:1] - values[1:]).norm(dim=2).min())


def test_patches_are_even_and_white():
    patches = every_patch(PICTURES, 3).flatten(0, 1)
    plain = normalize_contrast(patches)
    assert float(plain.mean(1).abs().max()) < 1e-5
    kept = patches.var(1, correction=0)
    torch.testing.assert_close(plain.var(1, correction=0), kept / (kept + MIN_VARIANCE), atol=1e-4, rtol=1e-4)
    tower = begun()
    found = torch.linalg.eigvalsh(torch.cov(tower.whiten(patches).T))
    strength = torch.linalg.eigvalsh(torch.cov(plain.T)).clamp(min=0)
    torch.testing.assert_close(found, strength / (strength + WHITENING_EPS), atol=1e-4, rtol=1e-3)


def test_patches_are_cut_from_their_own_picture():
    torch.manual_seed(0)
    found, all_of = sample_patches(PICTURES, 3, 4).view(5, 4, -1), every_patch(PICTURES, 3)
    for mine, whole in zip(found, all_of):
        assert all(bool((whole == patch).all(1).any()) for patch in mine)


def test_loss_by_hand():
    model = pretrainers.get("patch_atoms")(**SETTINGS)
    torch.manual_seed(0)
    model.setup(view_of(shop()), RunContext())
    patches = torch.randn(20, 27)
    model.cut = lambda rows, count: patches
    found = float(model.loss(ExampleBatch(torch.arange(4)[:, None]))["loss"].detach())
    z, a = normalize_contrast(patches), model.tower.atoms.detach()
    by_hand = np.mean([1 - max(float(F.cosine_similarity(p, atom, dim=0)) for atom in a) for p in z])
    assert found == pytest.approx(by_hand, abs=1e-5)


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize("start", ["patches", "random"])
@pytest.mark.parametrize("learn", [True, False])
def test_every_setting_switches_one_part_off_and_no_other(whiten, start, learn, tmp_path):
    torch.manual_seed(0)
    settings = {**SETTINGS, "whiten": whiten, "start": start, "learn": learn}
    model = pretrainers.get("patch_atoms")(**settings)
    view = view_of(shop())
    model.setup(view, RunContext())
    before = model.tower.atoms.detach().clone()
    model.on_epoch(0, np.random.default_rng(0))
    taken = model.tower.atoms.detach().clone()
    assert torch.equal(before, taken) == (start == "random")
    assert torch.equal(model.tower.white, torch.eye(27)) == (not whiten)
    assert not np.isin(model.examples(view, RunContext()), model.held_out.eval_items).any()
    now = model.tower.white.clone()
    model.on_epoch(1, np.random.default_rng(0))
    assert torch.equal(now, model.tower.white)
    pretrain(model, shop(), tmp_path / "out", readers=READERS, device="cpu")
    assert model.part["head"].weight.abs().sum() > 0 and float(model.part["head"].bias.abs().sum()) > 0
    torch.manual_seed(0)
    still = pretrainers.get("patch_atoms")(**{**settings, "learn": False})
    pretrain(still, shop(), tmp_path / "still", readers=READERS, device="cpu")
    assert torch.equal(still.tower.atoms, model.tower.atoms) == (not learn)


@pytest.mark.parametrize("whiten", [True, False])
def test_filters_start_as_patches_as_the_loss_sees_them(whiten):
    torch.manual_seed(0)
    tower = PatchTower(dim=48, size=3, grid=2)
    patches = every_patch(PICTURES, 3).flatten(0, 1)
    tower.initialize(patches, whiten)
    taken, own = F.normalize(tower.atoms.detach(), dim=1), F.normalize(tower.whiten(patches[:12]), dim=1)
    torch.testing.assert_close(taken, own, atol=1e-5, rtol=1e-4)
    if not whiten:
        torch.testing.assert_close(own, F.normalize(normalize_contrast(patches[:12]), dim=1))


def test_similar_pictures_are_near_without_labels(tmp_path):
    data = shop()
    model = pretrainers.get("patch_atoms")(**SETTINGS)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    raws = data.items.raw("image")
    assert set(encoders) == {"image"} and encoders["image"].dim == 10
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.4
    again = load_encoder(tmp_path / "out" / "image").encode([*raws[:5], None])
    assert again.present.tolist() == [True] * 5 + [False]
    np.testing.assert_array_equal(again.values[:5], encoders["image"].encode(raws[:5]).values)
    assert 0 < model.validation_score() <= 1
    seen = encoders["image"].encode([raws[row] for row in model.held_out.train_items]).values.astype(np.float64)
    spread = np.cov(seen.T)
    assert np.abs(seen.mean(0)).max() < 1e-4 and (np.diff(spread.diagonal()) <= 1e-9).all()
    assert np.abs(spread - np.diag(spread.diagonal())).max() < 1e-3 * spread.max()
    wide = pretrainers.get("patch_atoms")(**{**SETTINGS, "width": 0})
    raw = pretrain(wide, data, tmp_path / "wide", readers=READERS, device="cpu")["image"]
    whole = raw.encode([raws[row] for row in model.held_out.train_items]).values
    assert raw.dim == 48 and seen.var(0).sum() > 0.5 * whole.var(0).sum()


def test_components_are_found_all_over_the_catalogue(monkeypatch):
    monkeypatch.setattr("palate.models.pretrain.patch_atoms.MAX_COMPONENT_ITEMS", 4)
    torch.manual_seed(0)
    model = pretrainers.get("patch_atoms")(**SETTINGS)
    model.setup(view_of(shop()), RunContext())
    asked = []
    read = model.inputs.read
    model.inputs.read = lambda modality, rows: asked.extend(rows.tolist()) or read(modality, rows)
    model.solve_head()
    trained = model.held_out.train_items
    assert len(asked) <= 4 and min(asked) == trained[0] and max(asked) >= trained[len(trained) // 2]


def test_items_without_pictures_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="learns from image"):
        pretrain(pretrainers.get("patch_atoms")(**SETTINGS), shop(photos=False), tmp_path / "out", readers=READERS)
