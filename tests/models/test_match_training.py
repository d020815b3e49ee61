"""The whole path on data with structure: the loop learns it, a restored model scores the same, new items included."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny_view import N_ITEMS, N_USERS, as_users, features, view

from palate.contracts import models
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.core.seeding import seed_torch
from palate.metrics.held_out import validate
from palate.models.match.vbpr import VBPR
from palate.training.loop import train

NAMES = ("bpr", "simplex", "lightgcn", "vbpr", "freedom", "bm3")
SETTINGS = {"dim": 16, "lr": 0.02, "batch_size": 32, "epochs": 40, "patience": 40}


def trained(name, seed=0, **settings):
    model = models.get(name)(**SETTINGS, **settings)
    data = view()
    seed_torch(seed, "init", name)
    model.setup(data, RunContext())
    train(model, data, RunContext(seed, "recall@3"))
    model.eval()
    return model, data


@pytest.mark.parametrize("name", NAMES)
def test_learns_which_group_a_user_likes_and_repeats_bit_for_bit(name):
    model, data = trained(name)
    # a user's group has one or two items left beside those taken; chance puts the asked one in the first 3 of 17
    assert validate(model.scorer(), data.valid, "recall@3") > 0.5
    again, _ = trained(name)
    for one, two in zip(model.parameters(), again.parameters()):
        assert torch.equal(one, two)


@pytest.mark.parametrize("name", NAMES)
def test_a_restored_model_scores_the_same_and_takes_new_items(name):
    model, data = trained(name)
    model.on_fit_end()
    kind = type(model)
    twin = kind(model.config)
    twin.build(model.input_spec)
    twin.load_extra_state(model.extra_state())
    twin.load_tensors({key: value.clone() for key, value in model.state_dict().items()})
    twin.update_items(ItemFeatures.of(data.features, N_ITEMS))
    users = as_users(data, list(range(N_USERS)))
    torch.testing.assert_close(model.scorer().score(users), twin.scorer().score(users))
    if not kind.capabilities.new_items:
        return
    rng = np.random.default_rng(5)
    grown = {
        name: type(old)(np.concatenate([old.values, features(rng, 4).values]), np.append(old.present, [True] * 4))
        for name, old in data.features.items()
    }
    for one in (model, twin):
        one.update_items(ItemFeatures.of(grown, N_ITEMS + 4))
    scores = twin.scorer().score(users)
    torch.testing.assert_close(model.scorer().score(users), scores)
    # new row N_ITEMS + g has the content of group g, which users of group g should prefer among the new
    best = scores[:, N_ITEMS:].argmax(1).numpy()
    assert (best == np.arange(N_USERS) % 4).mean() > 0.5


def test_statistics_of_a_run_of_an_earlier_version_are_read():
    model, older = VBPR(dim=4), VBPR(dim=4)
    for one in (model, older):
        one.setup(view(), RunContext())
    state = model.state_dict()
    assert "content.standardiser.mean_0" in state
    older.load_tensors({name.replace("standardiser.", ""): tensor + 1 for name, tensor in state.items()})
    for name, tensor in older.state_dict().items():
        assert torch.equal(tensor, state[name] + 1), name
