"""DCMR and CB2CF: factorisation and losses by hand, held-out items stay unseen, content finds its factors."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from taste import ITEMS, READERS, build, colour_of, same_colour, set_up, shop, view_of

from palate.core.batch import ExampleBatch
from palate.core.context import RunContext
from palate.core.errors import ConfigError, DataError
from palate.features.saved import load_encoder
from palate.losses.factors import factor_mse, weighted_prediction
from palate.modules.combine import make_combine
from palate.modules.factorise import weighted_factors
from palate.training.pretrain import pretrain


def objective(matrix, x, y, confidence, reg):
    weight = 1 + (confidence - 1) * matrix
    return (weight * (matrix - x @ y.T) ** 2).sum() + reg * ((x**2).sum() + (y**2).sum())


def test_factors_are_a_minimum_of_the_weighted_objective():
    rng = np.random.default_rng(0)
    dense = (rng.random((9, 7)) < 0.4).astype(float)
    dense[3] = 0
    x, y = weighted_factors(sp.csr_array(dense), 3, confidence=5, reg=0.3, sweeps=300, rng=rng)
    taken = dense.sum(0) > 0
    assert np.square(y[taken]).sum(1).mean() == pytest.approx(1, abs=1e-5)
    assert not x[3].any()
    # at a minimum both sides weigh the same, which gives their own scale back
    scale = (np.square(x).sum() / np.square(y).sum()) ** 0.25
    x, y = x / scale, y * scale
    best = objective(dense, x, y, 5, 0.3)
    for _ in range(20):
        dx, dy = (rng.normal(0, 1e-2, side.shape) for side in (x, y))
        assert objective(dense, x + dx, y + dy, 5, 0.3) > best


def test_weighted_prediction_is_the_sum_over_all_users():
    torch.manual_seed(0)
    users, items = torch.randn(6, 3), torch.randn(2, 3)
    taken = torch.tensor([[1, 0], [0, 0], [1, 1], [0, 1], [0, 0], [1, 0]]).float()
    weight = 1 + 4 * taken
    wanted = (weight * (taken - users @ items.T).square()).sum() / 2
    owners, who = taken.T.nonzero(as_tuple=True)
    found = weighted_prediction(items, users.T @ users, users[who], owners, 5.0)
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)
    assert float(factor_mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 0.0]]))) == 5
    with pytest.raises(DataError, match="predictions"):
        factor_mse(items, users)


def test_the_losses_of_dcmr_are_those_of_its_objectives():
    data = shop()
    for name in ("mse", "wpe"):
        model, _ = set_up("dcmr", data, objective=name)
        rows = torch.from_numpy(model.held_out.train_items[:3])
        with torch.no_grad():
            y = model.encode(rows)
            found = float(model.loss(ExampleBatch(rows[:, None]))["loss"])
        taken = torch.from_numpy(model.matrix.toarray()[:, rows.numpy()])
        errors = (1 + 27.6 * taken) * (taken - model.user_factors @ y.T).square()
        wanted = errors.sum() / 3 if name == "wpe" else (y - model.targets[rows]).square().sum() / 3
        assert found == pytest.approx(float(wanted), rel=1e-4)


def test_dcmr_reads_one_modality_and_sound_comes_first():
    data = shop()
    assert set_up("dcmr", data)[0].views.modalities == ("image",)
    assert set_up("dcmr", data, modality="text")[0].views.modalities == ("text",)
    with pytest.raises(ConfigError, match="found text, image"):
        set_up("dcmr", data, modality="audio")


def test_held_out_items_do_not_affect_the_factors():
    model, view = set_up("cb2cf", shop())
    kept = model.held_out.eval_items
    assert len(kept) and not set(kept) & set(model.examples(view, RunContext())[:, 0])
    assert not model.targets[kept].any() and model.matrix[:, kept].nnz == 0
    assert model.held_out.relevant.any(1).all() and not model.held_out.relevant.all(1).any()
    assert view.visible_items[kept].all()


@pytest.mark.parametrize("dropout", [0.0, 0.5, 1.0])
def test_hiding_leaves_one_modality_at_least(dropout):
    model, view = set_up("cb2cf", shop(titled=False), modality_dropout=dropout)
    rows = torch.from_numpy(np.flatnonzero(view.visible_items & model.views.presence.numpy().any(1)))
    shown = []
    model.views.combine.register_forward_pre_hook(lambda module, given: shown.append(given[1]))
    model.views.train()(rows)
    known = model.views.presence[rows]
    assert shown[0].any(1).all() and not (shown[0] & ~known).any()
    counts = shown[0].sum(1)
    if dropout == 0.5:
        assert (counts == 1).any() and (counts == 2).any()
    else:
        assert torch.equal(counts, known.sum(1) if dropout == 0 else torch.ones_like(counts))
    model.views.eval()(rows)
    assert torch.equal(shown[1], known)


@pytest.mark.parametrize("kind", ["mean", "perceptron", "transformer"])
def test_what_is_masked_is_not_read(kind):
    torch.manual_seed(0)
    combine = make_combine(kind, dim=8, width=8).eval()
    tokens, mask = torch.randn(3, 2, 8), torch.tensor([[True, False], [True, True], [False, True]])
    other = tokens.clone()
    other[0, 1], other[2, 0] = 1e4, torch.nan if kind == "mean" else -1e4
    with torch.no_grad():
        found = combine(tokens, mask)
        torch.testing.assert_close(combine(other, mask), found)
        torch.testing.assert_close(combine(tokens[1:2], mask[1:2]), found[1:2])
        torch.testing.assert_close(combine(tokens[:1, :1], mask[:1, :1]), found[:1])


@pytest.mark.parametrize("name", ["dcmr", "cb2cf"])
def test_content_finds_its_factors(name, tmp_path):
    data = shop(titled=False)
    model = build(name, epochs=15, patience=15)
    encoders = pretrain(model, data, tmp_path / name, readers=READERS)
    assert model.validation_score() > 0.8
    assert set(encoders) == ({"image"} if name == "dcmr" else {"image", "text"})
    raws = data.items.raw("image")
    assert same_colour(encoders["image"], raws, [colour_of(i) for i in range(ITEMS)]) > 0.9
    again = load_encoder(tmp_path / name / "image")
    np.testing.assert_array_equal(again.encode(raws[:5]).values, encoders["image"].encode(raws[:5]).values)
    assert again.identity == encoders["image"].identity


def test_an_encoder_of_one_modality_is_the_model_on_items_with_that_alone(tmp_path):
    data = shop(photos=False)
    model = build("cb2cf", epochs=2)
    encoder = pretrain(model, data, tmp_path / "cb2cf", readers=READERS)["text"]
    rows = model.held_out.train_items[:6]
    found = encoder.encode(data.items.raw("text", rows)).values
    np.testing.assert_allclose(found, model.eval().encode_all(rows).numpy(), atol=1e-5)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


def test_data_without_content_or_behaviour_is_refused():
    view = view_of(shop())
    with pytest.raises(ConfigError, match="at least 2 items"):
        build("cb2cf").setup(replace(view, users=view.users[:0], items=view.items[:0], times=None), RunContext())
    with pytest.raises(ConfigError, match="found none"):
        build("cb2cf").setup(replace(view, features={}), RunContext())


def test_a_view_that_is_not_shown_changes_nothing():
    data = shop(titled=False)
    model, view = set_up("cb2cf", data, views=("text",))
    assert model.views.modalities == ("text", "image")
    assert not model.views.presence[:, 1].any() and model.views.presence[:, 0].any()
    assert model.views.towers["image"] is not None
    assert set(model.held_out.train_items) <= set(np.flatnonzero(view.features["text"].present))


def test_shuffled_targets_are_those_of_other_items():
    data = shop()
    (model, _), (other, _) = set_up("cb2cf", data), set_up("cb2cf", data, shuffled=True)
    trained = model.held_out.train_items
    assert not torch.equal(model.targets[trained], other.targets[trained])
    np.testing.assert_allclose(np.sort(model.targets[trained], axis=0), np.sort(other.targets[trained], axis=0))
