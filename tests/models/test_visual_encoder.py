"""VisualEncoder: its stages by hand, negatives, the parameters of each stage, pictures that find partners."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from taste import ITEMS, READERS, colour_of, same_colour, shop, view_of

from palate.contracts import pretrainers
from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.data.relations import Edges, Relations
from palate.features.saved import load_encoder
from palate.models.pretrain.shared.clicks import CoClicks
from palate.models.pretrain.shared.properties import Properties
from palate.modules.momentum_encoder import project
from palate.training.pretrain import pretrain

SETTINGS = {"dim": 16, "hidden": 16, "batch_size": 16, "category": "half", "held": 0.2}
ROWS = torch.arange(12)[:, None]


def halves(**shape):
    """The first two colours are one class of items, the others another; people take one colour each."""
    source = np.arange(ITEMS)
    edges = Edges(source, source % 4 // 2, np.ones(ITEMS, np.float32), "half", ("warm", "cold"))
    return replace(shop(**shape), relations=Relations({"half": edges}))


def build(data, **settings):
    view = view_of(data)
    torch.manual_seed(0)
    model = pretrainers.get("visual_encoder")(**{**SETTINGS, **settings})
    model.setup(view, RunContext())
    return model, view


def test_targets_are_the_other_view_by_the_momentum_encoder():
    model, _ = build(halves(), momentum=0.5)
    boot = model.bootstrap
    before = [p.clone() for p in boot.target.parameters()]
    with torch.no_grad():
        for p in boot.online.parameters():
            p.add_(0.1 * torch.randn_like(p))
    one, other = torch.randn(2, 4, 3, 16, 16)
    predicted, targets = boot(one, other)
    for old, now, online in zip(before, boot.target.parameters(), boot.online.parameters()):
        torch.testing.assert_close(now, (old + online) / 2)
    with torch.no_grad():
        torch.testing.assert_close(targets, project(boot.target, torch.cat([other, one])), atol=1e-4, rtol=1e-3)
    assert predicted.requires_grad and not targets.requires_grad


def test_clicks_by_hand():
    model, _ = build(halves(), tau=0.5)
    model.eval()
    counts = torch.tensor([[False, True, False], [True, False, True]])
    drawn = torch.tensor([0, 1]), torch.tensor([4, 5, 8]), counts
    model.co_clicks.sample = lambda rows, negatives, pool: drawn
    with torch.no_grad():
        found = float(model.clicks_loss(ExampleBatch(ROWS))["loss"])
        a, b = (model.corrected(model.base(rows)) for rows in drawn[:2])
    s = (a @ b.T / 0.5).double().numpy()
    first = np.log1p(np.exp(s[0, 1] - s[0, 0]))
    second = np.log1p(np.exp(s[1, 0] - s[1, 1]) + np.exp(s[1, 2] - s[1, 1]))
    assert found == pytest.approx((first + second) / 2, rel=1e-4)


@pytest.mark.parametrize("pool", ["class", "both", "all"])
def test_negatives_are_hard_and_never_taken(pool):
    view = view_of(halves())
    classes = Properties.from_view(view).classes("half")
    assert classes.tolist() == [i % 4 // 2 if seen else -1 for i, seen in enumerate(view.visible_items)]
    items = np.flatnonzero(view.warm_items)
    clicked = CoClicks(view, items, classes)
    torch.manual_seed(0)
    anchors, candidates, counts = (part.numpy() for part in clicked.sample(torch.from_numpy(items), 4, pool))
    assert len(anchors) == len(items) and counts.any(1).all()
    partners = candidates[: len(items)]
    assert (partners != anchors).all() and (partners % 4 == anchors % 4).all()
    row, column = counts.nonzero()
    anchor, negative = anchors[row] % 4, candidates[column] % 4
    assert ((anchor // 2 == negative // 2).all()) == (pool == "class")
    drawn = classes[candidates[len(items) :]].reshape(len(items), 4)
    assert ((drawn == classes[anchors][:, None]).all()) == (pool != "all")
    person = np.full(len(items), 1)
    free = clicked.negative_mask(anchors, person, candidates, same_class=False)
    assert (free == (view.matrix[[1]].toarray()[0][candidates] == 0)).all()


def test_each_stage_trains_its_own_parameters():
    model, view = build(halves())
    stages = {phase.name: set(map(id, phase.parameters)) for phase in model.phases()}
    tower, correction = (set(map(id, model.part[name].parameters())) for name in ("tower", "combine"))
    assert list(stages) == ["views", "clicks", "exposure"]
    assert stages["clicks"] == tower <= stages["views"]
    assert stages["exposure"] == correction and not correction & stages["views"]
    assert not any(p.requires_grad for p in model.bootstrap.target.parameters())
    assert not np.isin(model.examples(view, RunContext()), model.held_out.eval_items).any()
    assert np.isin(model.eval_pairs[:, 1], model.held_out.eval_items).all()
    assert not np.isin(model.eval_pairs[:, 0], model.held_out.eval_items).any() and len(model.eval_pairs)
    assert [phase.name for phase in build(shop(), stages=("views",), category="none")[0].phases()] == ["views"]


def test_exposure_draws_heads_to_similar_tail_items():
    model, view = build(halves())
    model.eval()
    exposed, frozen = model.exposure, model.before_exposure()
    assert exposed.head.any() and view.popularity[exposed.head].min() > view.popularity[exposed.tail].max()
    heads, tails = exposed.nearest_tail(torch.from_numpy(model.held_out.train_items), frozen)
    assert set(heads.tolist()) == set(np.flatnonzero(exposed.head)) and not frozen.requires_grad
    classes, unit = model.co_clicks.classes, F.normalize(frozen, dim=1)
    assert (classes[heads] == classes[tails]).all()
    for head, tail in zip(heads, tails):
        rivals = [t for t in exposed.tail if classes[t] == classes[head]]
        assert float(unit[head] @ unit[tail]) == pytest.approx(max(float(unit[head] @ unit[t]) for t in rivals))
    terms = model.exposure_loss(ExampleBatch(torch.from_numpy(model.held_out.train_items)[:, None]))
    assert float(terms["loss"].detach()) == pytest.approx(float((terms["clicks"] + 0.5 * terms["debias"]).detach()))
    terms["loss"].backward()
    assert all(p.grad is None for p in model.part["tower"].parameters())


def test_data_unsuitable_for_a_stage_are_refused():
    with pytest.raises(ConfigError, match="with a picture"):
        build(halves(photos=False))
    with pytest.raises(ConfigError, match="category"):
        build(halves(), category="category")
    assert build(halves(), category="")[0].co_clicks.classes.tolist() == build(halves())[0].co_clicks.classes.tolist()
    assert set(build(shop(), category="")[0].co_clicks.classes) == {0}
    view = view_of(halves())
    first = np.unique(view.users, return_index=True)[1]
    model = pretrainers.get("visual_encoder")(**SETTINGS)
    with pytest.raises(ConfigError, match="took several"):
        model.setup(replace(view, users=view.users[first], items=view.items[first]), RunContext())


def test_pictures_find_their_partners(tmp_path):
    data = halves(titled=False)
    model = pretrainers.get("visual_encoder")(**SETTINGS, epochs=6, click_lr=5e-3)
    encoders = pretrain(model, data, tmp_path / "out", readers=READERS, device="cpu")
    raws = data.items.raw("image")
    assert set(encoders) == {"image"}
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.8
    again = load_encoder(tmp_path / "out" / "image").encode([*raws[:5], None])
    assert again.present.tolist() == [True] * 5 + [False]
    np.testing.assert_array_equal(again.values[:5], encoders["image"].encode(raws[:5]).values)
    seen = model.held_out.train_items[:5]
    found = encoders["image"].encode([raws[row] for row in seen]).values
    np.testing.assert_allclose(found, model.vectors(seen).numpy(), atol=1e-5)
    assert 0 < model.validation_score() <= 1


def test_the_first_stage_needs_pictures_alone(tmp_path):
    model = pretrainers.get("visual_encoder")(**SETTINGS, stages=("views",), epochs=1)
    encoders = pretrain(model, shop(), tmp_path / "out", readers=READERS, device="cpu")
    assert encoders["image"].dim == 16 and np.isnan(model.validation_score())
