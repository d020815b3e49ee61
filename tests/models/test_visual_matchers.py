"""DeepStyle, Sherlock and DVBPR, each against its formula written out."""

import numpy as np
import pytest
import torch
from tiny_view import GROUPS, N_ITEMS, RUN, batch, features, log_sigmoid_loss, numpy, view

from palate.core.content import Features
from palate.core.errors import ConfigError
from palate.core.item_features import ItemFeatures
from palate.models.match.deepstyle import DeepStyle
from palate.models.match.dvbpr import DVBPR
from palate.models.match.shared.item_categories import ItemCategories, chosen_categories
from palate.models.match.sherlock import Sherlock

UNKNOWN = 7
"""An item without a category."""


def one_hot(values: np.ndarray, size: int) -> Features:
    table = 0.7 * np.eye(size, dtype=np.float32)[values]
    table[UNKNOWN] = 0
    return Features(table, np.arange(len(values)) != UNKNOWN)


def fields() -> dict[str, Features]:
    rows = np.arange(N_ITEMS)
    return {"values_leaf": one_hot(rows % GROUPS, GROUPS), "values_root": one_hot(rows % GROUPS // 2, 2)}


def made(kind, features=None, **settings):
    torch.manual_seed(0)
    train = view(absent=(2, 3))
    train = train.with_features(features or {"image": train.features["image"]}, fields())
    model = kind(dim=4, **settings)
    model.setup(train, RUN)
    return model, train


def test_deepstyle_takes_the_vector_of_the_category_away():
    model, train = made(DeepStyle, standardise=False, reg=0.0)
    pictures = train.features["image"]
    visual = pictures.values.astype(float) @ numpy(model.maps[0]).T + numpy(model.bias)
    style = visual - np.where(
        np.arange(N_ITEMS)[:, None] == UNKNOWN, 0, numpy(model.levels[0])[np.arange(N_ITEMS) % 4 // 2]
    )
    style[[2, 3]] = 0
    assert list(model.categories.sizes) == ["values_root"], "the attribute of fewest values"
    np.testing.assert_allclose(numpy(model.describe(torch.arange(N_ITEMS))), style, atol=1e-5)
    items = np.concatenate([numpy(model.items), style], 1)
    users = numpy(model.users)[[0, 1]]
    expected = log_sigmoid_loss((users * items[[0, 5]]).sum(1) - (users * items[[2, 6]]).sum(1))
    assert model.loss(batch([0, 1], [0, 5], [[2], [6]]))["loss"].item() == pytest.approx(expected, rel=1e-4)
    plain, _ = made(DeepStyle, standardise=False, subtract=False)
    visual[[2, 3]] = 0
    np.testing.assert_allclose(numpy(plain.describe(torch.arange(N_ITEMS))), visual, atol=1e-5)


def test_sherlock_reads_each_level_with_the_matrix_of_its_category():
    model, train = made(Sherlock, standardise=False, categories=("root", "leaf"))
    pictures = train.features["image"].values.astype(float)
    matrices = numpy(model.maps[0]).astype(float)
    root, leaf = matrices[:4].reshape(2, 2, 6), matrices[4:].reshape(4, 2, 6)
    out = numpy(model.describe(torch.arange(N_ITEMS)))
    for item in (0, 5, 18):
        path = np.concatenate([root[item % 4 // 2], leaf[item % 4]])
        np.testing.assert_allclose(out[item], path @ pictures[item] + numpy(model.bias), atol=1e-5)
    mean = np.concatenate([root.mean(0), leaf.mean(0)])
    np.testing.assert_allclose(out[UNKNOWN], mean @ pictures[UNKNOWN] + numpy(model.bias), atol=1e-5)
    assert not out[[2, 3]].any(), "items without a picture"


def maps() -> dict[str, Features]:
    rng = np.random.default_rng(0)
    return {"image": Features(rng.normal(size=(N_ITEMS, 3, 6, 6)).astype(np.float32), np.arange(N_ITEMS) != 3, "map")}


def test_dvbpr_scores_by_pictures_and_the_category():
    model, train = made(DVBPR, maps(), widths=(4,), one_hot=True, category="leaf", reg=0.3)
    rows = torch.arange(N_ITEMS)
    category = train.fields["values_leaf"].values > 0
    seen = numpy(model.reader(rows, torch.zeros(N_ITEMS, 0)))
    items = np.concatenate([seen, category @ numpy(model.levels[0])], 1)
    np.testing.assert_allclose(numpy(model.items_of(rows)), items, atol=1e-6)
    np.testing.assert_allclose(numpy(model.vectors()[1]), items, atol=1e-6)
    users = numpy(model.users)[[0, 1]]
    positive, negative = items[[0, 5]], items[[2, 6]]
    expected = log_sigmoid_loss((users * positive).sum(1) - (users * negative).sum(1))
    found = model.loss(batch([0, 1], [0, 5], [[2], [6]]))
    assert found["bpr"].item() == pytest.approx(expected, rel=1e-4)
    assert found["loss"].item() == pytest.approx((found["bpr"] + found["penalty"]).item()) and found["penalty"] > 0
    assert not model.known[3] and not seen[3].any()


@pytest.mark.parametrize("preset", ["c", "sca", "cscnn"])
def test_every_weight_of_dvbpr_moves_and_new_pictures_are_read(preset):
    model, train = made(DVBPR, maps(), widths=(4,), **DVBPR.presets[preset])
    model.loss(batch([0, 1, 2, 3], [0, 5, 6, 8], [[2], [6], [1], [4]]))["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())
    model.eval()
    model.on_fit_end()
    before = model.final_items.clone()
    grown = {name: one.take(np.array([*range(N_ITEMS), 5])) for name, one in train.visible.items()}
    model.update_items(ItemFeatures.of(grown, N_ITEMS + 1))
    assert torch.allclose(model.final_items[:N_ITEMS], before, atol=1e-6)
    assert torch.allclose(model.final_items[-1], before[5], atol=1e-6) and model.known[-1]


def test_other_content_stands_beside_the_picture_and_can_be_left_out():
    both = {**maps(), "text": features(np.random.default_rng(1))}
    model, _ = made(DVBPR, both, widths=(4,))
    rows = torch.tensor([3, 4])
    text = torch.nn.functional.normalize(torch.from_numpy(both["text"].values[[3, 4]]), dim=1)
    expected = model.reader(rows, torch.zeros(N_ITEMS, 0)) + text @ model.content.maps[0].weight.T
    assert torch.allclose(model.items_of(rows), expected, atol=1e-6) and model.known.all()
    alone, _ = made(DVBPR, both, widths=(4,), others=False)
    assert not alone.items_of(rows)[0].any() and not alone.known[3]


def test_categories_are_shares_and_unknown_attributes_are_named():
    values = np.array([[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]], np.float32)
    known = ItemCategories({"values_genre": 3})
    known.load(ItemFeatures({"values_genre": Features(values)}, 3), torch.device("cpu"))
    assert known.of("values_genre").tolist() == [[0.5, 0.5, 0], [0, 0, 1], [0, 0, 0]]
    assert chosen_categories((), {"words_title": 9, "values_a": 4, "values_b": 2}) == {"values_b": 2}
    assert chosen_categories((), {"words_title": 9}) == {}
    with pytest.raises(ConfigError, match="categories=gener"):
        chosen_categories(("gener",), {"values_genre": 4})
