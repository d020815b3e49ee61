import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, as_users, batch, features, log_sigmoid_loss, numpy, view

from palate.core.config import parse_config
from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.models.match.vbpr import VBPR


def fitted(**settings):
    torch.manual_seed(0)
    model = VBPR(dim=4, **settings)
    model.setup(view(absent=(2, 3)), RunContext())
    with torch.no_grad():
        model.bias += torch.tensor([0.1, -0.2, 0.3, 0.0])
    return model


def content_half(model, train, standardise):
    """Item 2 and 3 lack the image: their text counts twice."""
    total = np.zeros((N_ITEMS, 4))
    for name, weight in zip(("image", "text"), model.maps):
        found = train.features[name]
        x = np.where(found.present[:, None], found.values, 0).astype(np.float64)
        if standardise:
            seen = x[found.present]
            x = (x - seen.mean(0)) / seen.std(0)
        total += x @ numpy(weight).T * found.present[:, None]
    total[[2, 3]] *= 2
    return model.config.content_scale * total + numpy(model.bias)


@pytest.mark.parametrize("standardise", [False, True])
def test_loss_by_hand(standardise):
    model = fitted(standardise=standardise, reg=0.4, content_scale=0.5)
    content = content_half(model, view(absent=(2, 3)), standardise)
    items = np.concatenate([numpy(model.items), content], 1)
    u, p, n = numpy(model.users)[[0, 1]], items[[0, 5]], items[[2, 3]]
    rank = log_sigmoid_loss((u * p).sum(1) - (u * n).sum(1))
    reg = 0.4 * sum(np.linalg.norm(x) for x in (u, p, n)) / 2
    found = model.loss(batch([0, 1], [0, 5], [[2], [3]]))
    assert found["bpr"].item() == pytest.approx(rank, rel=1e-4)
    assert found["loss"].item() == pytest.approx(rank + reg, rel=1e-4)


def test_what_an_absent_row_holds_has_no_effect():
    train = view(absent=(2, 3))
    filler = train.features["image"].values.copy()
    filler[[2, 3]] = np.nan
    torch.manual_seed(0)
    other = VBPR(dim=4)
    other.setup(
        train.with_features({**train.features, "image": Features(filler, train.features["image"].present)}),
        RunContext(),
    )
    torch.manual_seed(0)
    model = VBPR(dim=4)
    model.setup(train, RunContext())
    torch.testing.assert_close(model.vectors()[1], other.vectors()[1])


def test_an_item_nobody_took_scores_by_content_alone_and_content_free_strangers_are_unknown():
    model = fitted()
    items = model.vectors()[1]
    assert items[-1, :4].abs().sum() == 0 and items[-1, 4:].abs().sum() > 0
    assert items[0, :4].abs().sum() > 0
    assert model.scorer().scorable().all()
    model.on_fit_end()
    rng = np.random.default_rng(1)
    arrived = {"image": features(rng, N_ITEMS + 2, (N_ITEMS, N_ITEMS + 1)), "text": features(rng, N_ITEMS + 2, (21,))}
    model.update_items(ItemFeatures.of(arrived, N_ITEMS + 2))
    scorer = model.scorer()
    assert scorer.scorable().tolist() == [True] * (N_ITEMS + 1) + [False]
    scores = scorer.score(as_users(view(), [0, 1]))
    assert scores.shape == (2, N_ITEMS + 2) and torch.isfinite(scores).all()
    model.update_items(ItemFeatures.of({"text": arrived["text"]}, N_ITEMS + 2))
    assert model.scorer().scorable().tolist() == [True] * (N_ITEMS + 1) + [False]


def test_every_part_learns():
    model = fitted()
    model.loss(batch([0, 1], [0, 5], [[2], [3]]))["loss"].backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in model.parameters())


def test_presets_parse_and_differ():
    parsed = {name: parse_config(VBPR.Config, s, "vbpr").standardise for name, s in VBPR.presets.items()}
    assert parsed == {"faithful": False, "tuned": True}
