"""Modality dropout: masks while training, reduced kernels, graphs averaged over what is left."""

import numpy as np
import pytest
import tiny_view
import torch
from tiny_view import RUN

from palate.core.content import Features, concat
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.features.item_content import ItemContent
from palate.models.match.alignrec import AlignRec
from palate.models.match.blend.members import member_of
from palate.models.match.content_kernel import ContentKernel
from palate.models.match.lgmrec import LGMRec
from palate.models.match.mmgcn import MMGCN
from palate.models.match.shared.item_graph import item_graph
from palate.models.match.vbpr import VBPR

GIVEN = dict(ridge=0.3, l2=1.5, mix=0.2, popularity=0.15, media={"image": 1.0})
N = tiny_view.N_ITEMS


def content(dropout, standardise=True):
    view = tiny_view.view()
    features = {**view.features, "text.words": view.features["text"]}
    made = ItemContent({name: found.dim for name, found in features.items()}, standardise, dropout)
    made.fit(ItemFeatures.of(features, N))
    return made


@pytest.mark.parametrize("standardise", [True, False])
def test_masks_hide_whole_modalities_in_training_only(standardise):
    whole, some = content(0.0, standardise), content(0.6, standardise)
    torch.manual_seed(0)
    whole.train(), some.train()
    masks = {name: some.present(name) for name in some.names}
    assert torch.equal(masks["text"], masks["text.words"]), "one modality, one draw"
    assert torch.stack([*masks.values()]).any(0).all(), "every item keeps one"
    lost = whole.present("image") & ~masks["image"]
    assert 0 < int(lost.sum()) < N
    rows = torch.arange(N)
    for name in some.names:
        values, present = some.rows(name, rows)
        assert torch.equal(present, masks[name]) and not values[~present].any()
        assert torch.equal(values[present], whole.rows(name, rows)[0][present])
        assert torch.equal(some.linear(name, rows, torch.eye(values.shape[1]))[1], present)
    some.eval()
    assert all(torch.equal(a, b) for name in some.names for a, b in zip(some.rows(name), whole.rows(name)))


def test_masks_are_drawn_anew_and_by_torchs_seed():
    some = content(0.5)

    def masks(seed):
        torch.manual_seed(seed)
        return torch.stack([some.train().present(name) for name in some.names])

    assert torch.equal(masks(1), masks(1)) and not torch.equal(masks(1), masks(2))


def test_without_dropout_nothing_is_drawn():
    state = torch.get_rng_state()
    content(0.0).train()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kind", [AlignRec, LGMRec, MMGCN, VBPR])
def test_what_models_keep_of_content_follows_the_masks(kind):
    view = tiny_view.view()
    model = kind(dim=4, modality_dropout=0.7)
    torch.manual_seed(0)
    model.setup(view, RunContext())
    with torch.no_grad():
        before = model.eval().vectors()[1]
        torch.manual_seed(1)
        during = model.train().vectors()[1]
        after = model.eval().vectors()[1]
    assert not torch.allclose(before, during)
    assert torch.equal(before, after)


def solved(view, **changes):
    model = ContentKernel(**{"sharpness": 2.0, **GIVEN, **changes})
    model.setup(view, RunContext())
    assert model.solve(view, RUN)
    return model


def copies(view, rows):
    """Content with copies of ``rows`` appended that lack their text."""
    both = {name: concat(found, found.take(np.array(rows))) for name, found in view.features.items()}
    return {"image": both["image"], "text": both["text"].mask_rows(np.arange(N + len(rows)) < N)}


def test_items_with_gaps_are_scored_by_the_regression_that_never_saw_the_missing_modality():
    view, rows = tiny_view.view(), [5, 7]
    robust, naive = solved(view, modality_dropout=0.3), solved(view)
    # the weight of pictures beside words is 1, so 1 is their sharpness alone; they carry a third of all weight
    alone = solved(view, features=("image",), sharpness=1.0, ridge=0.9)
    users = tiny_view.as_users(view, list(range(6)))
    full = naive.scorer().score(users)
    gaps = copies(view, rows)
    for model in (robust, naive):
        model.update_items(ItemFeatures.of(gaps, N + 2))
    found, plain = robust.scorer().score(users), naive.scorer().score(users)
    expected = alone.scorer().score(users)[:, rows]
    np.testing.assert_allclose(found[:, N:], expected, rtol=1e-4, atol=1e-6)
    rest = [row for row in range(N) if row != 3]
    np.testing.assert_allclose(found[:, rest], full[:, rest], rtol=1e-5, atol=1e-6)
    assert not np.allclose(plain[:, N:], expected, rtol=0.1)


def test_a_group_without_weight_serves_items_that_have_nothing_else():
    view = tiny_view.view()
    model = solved(view, modality_dropout=0.1, media={"image": 0.0})
    model.update_items(ItemFeatures.of(copies(view, [5]), N + 1))
    found = model.scorer().score(tiny_view.as_users(view, list(range(8))))
    assert found[:, N].std() > 0


def test_aligned_kernels_are_reduced_too():
    view = tiny_view.view()
    model = solved(view, modality_dropout=0.1, kernel="aligned", media={"directions": 1.0})
    model.update_items(ItemFeatures.of(copies(view, [5, 6]), N + 2))
    assert np.isfinite(model.scorer().score(tiny_view.as_users(view, [0, 1])).numpy()).all()


def test_an_item_graph_is_the_mean_over_what_is_left():
    view = tiny_view.view()
    made = ItemContent({name: found.dim for name, found in view.features.items()}, False)
    made.fit(ItemFeatures.of(view.features, N))

    def dense(weights, dropout=0.0):
        return item_graph(view, made, 4, weights, dropout=dropout).to_scipy().toarray()

    image, text, both = dense({"image": 1, "text": 0}), dense({"image": 0, "text": 1}), dense({"image": 1, "text": 3})
    p = 0.2
    chance = np.array([(1 - p) ** 2, p * (1 - p), p * (1 - p)])
    chance /= chance.sum()
    expected = chance[0] * both + chance[1] * image + chance[2] * text
    found = dense({"image": 1, "text": 3}, p)
    shown = [row for row in range(N) if row != 3]
    np.testing.assert_allclose(found[shown], expected[shown], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(found[3], text[3], rtol=1e-5)


def test_a_blend_hands_dropout_to_members_that_know_it():
    assert member_of("freedom", {}, 0.3).config.modality_dropout == 0.3
    assert member_of("freedom", {"modality_dropout": 0.1}, 0.3).config.modality_dropout == 0.1
    assert not hasattr(member_of("ease", {}, 0.3).config, "modality_dropout")
    with pytest.raises(ConfigError, match="all members") as caught:
        member_of("freedom", {"impute": "ridge"})
    assert "blend" in caught.value.hint


def test_features_of_absent_rows_may_hold_anything():
    view = tiny_view.view()
    values = view.features["image"].values.copy()
    values[3] = np.nan
    made = ItemContent({"image": 6}, True, 0.5)
    made.fit(ItemFeatures.of({"image": Features(values, view.features["image"].present)}, N))
    assert bool(torch.isfinite(made.train().rows("image")[0]).all())
