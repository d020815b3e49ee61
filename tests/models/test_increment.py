"""Content that comes bit by bit: the same numbers as all of it at once, and nothing that was made before changes."""

import numpy as np
import pytest
import tiny_view
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_view import RUN

from palate.core.content import Features
from palate.core.context import RunContext
from palate.core.item_features import ItemFeatures
from palate.core.shared_copy import shared_copy
from palate.models.match.content_kernel import ContentKernel
from palate.models.match.ease_content import EASEContent
from palate.models.match.freedom import FREEDOM
from palate.models.match.shared.columns import Columns

FIXED = dict(sharpness=2.0, ridge=0.3, l2=5.0, mix=0.2, popularity=0.15)
MODELS = {
    "kernel": lambda: ContentKernel(**FIXED, media={"image": 0.5}),
    "raw": lambda: ContentKernel(**FIXED),
    "aligned": lambda: ContentKernel(**FIXED, kernel="aligned"),
    "kernel that knows lacks": lambda: ContentKernel(**FIXED, media={"image": 0.5}, modality_dropout=0.3),
    "aligned that knows lacks": lambda: ContentKernel(**FIXED, kernel="aligned", modality_dropout=0.3),
    "ease_content": lambda: EASEContent(l2=5.0, prior=0.2, widen=0.3, power=0.5, k=3),
    "freedom": lambda: FREEDOM(dim=8, k=3),
}


@pytest.fixture(scope="module")
def fitted():
    made = {}
    for name, make in MODELS.items():
        view = tiny_view.view()
        model = make()
        model.setup(view, RunContext())
        if name != "freedom":
            model.solve(view, RUN)
        model.eval()
        model.on_fit_end()
        made[name] = model, view
    return made


def changed(content, rng, adds, updates):
    """``content`` with rows appended and others replaced, some modalities absent."""
    old = len(next(iter(content.values())))
    out = {}
    for name, found in content.items():
        fresh = rng.normal(size=(adds + len(updates), found.dim)).astype(np.float32)
        here = rng.random(adds + len(updates)) > 0.3
        fresh[~here] = 0
        values = np.concatenate([found.values, fresh[:adds]])
        present = np.concatenate([found.present, here[:adds]])
        rows = np.array([row % old for row in updates], np.int64)
        values[rows], present[rows] = fresh[adds:], here[adds:]
        out[name] = Features(values, present, identity=found.identity, fitted_on=found.fitted_on)
    return out


def scores(model, view, items):
    scorer = model.scorer()
    found = scorer.score(view.user_batch(np.arange(view.n_users))).numpy()
    return found[:, :items], scorer.scorable()[:items]


STEPS = st.lists(
    st.tuples(st.integers(0, 3), st.lists(st.integers(0, 60), max_size=3, unique_by=lambda row: row % 20)),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS, seed=st.integers(0, 99))
def test_bit_by_bit_is_as_good_as_at_once(fitted, name, steps, seed):
    base, view = fitted[name]
    rng = np.random.default_rng(seed)
    content = dict(view.features)
    model = shared_copy(base)
    model.update_items(ItemFeatures.of(content, view.n_items))
    model.scorer()
    for adds, updates in steps:
        content = changed(content, rng, adds, updates)
        model = shared_copy(model)
        model.update_items(ItemFeatures.of(content, len(content["text"])))
        model.scorer()
    size = len(content["text"])
    whole = shared_copy(base)
    whole.update_items(ItemFeatures.of(content, size))
    (found, able), (wanted, could) = scores(model, view, size), scores(whole, view, size)
    np.testing.assert_array_equal(able, could)
    scale = np.abs(wanted[:, could]).max()
    np.testing.assert_allclose(found[:, could], wanted[:, could], rtol=1e-5, atol=1e-5 * scale)


@pytest.mark.parametrize("name", MODELS)
def test_what_was_made_before_stays_as_it_is(fitted, name):
    base, view = fitted[name]
    model = shared_copy(base)
    model.update_items(ItemFeatures.of(dict(view.features), view.n_items))
    batch = view.user_batch(np.arange(view.n_users))
    scorer = model.scorer()
    before = scorer.score(batch).clone()
    rng = np.random.default_rng(0)
    other = shared_copy(model)
    content = dict(view.features)
    for adds, updates in ((2, ()), (1, (0, 3)), (0, (view.n_items,))):
        content = changed(content, rng, adds, updates)
        other.update_items(ItemFeatures.of(content, len(content["text"])))
        other.scorer().score(batch)
    assert torch.equal(scorer.score(batch), before)
    assert torch.equal(model.scorer().score(batch), before)


def test_added_items_leave_the_columns_of_others_bit_for_bit(fitted):
    base, view = fitted["kernel"]
    model = shared_copy(base)
    model.update_items(ItemFeatures.of(dict(view.features), view.n_items))
    old = model._current_table().out
    later = shared_copy(model)
    later.update_items(ItemFeatures.of(changed(dict(view.features), np.random.default_rng(1), 1, ()), view.n_items + 1))
    assert later._current_table().out.base.data_ptr() == old.base.data_ptr()
    assert torch.equal(later._current_table().out.dense()[:, : view.n_items], old.dense())


@given(seed=st.integers(0, 999))
@settings(max_examples=40, deadline=None)
def test_columns_are_a_table(seed):
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 30))
    table = torch.randn(4, width)
    columns, left = Columns.of(table), torch.randn(3, 4)
    for _ in range(4):
        size = columns.size + int(rng.integers(0, 4))
        rows = np.union1d(np.arange(columns.size, size), rng.choice(columns.size, int(rng.integers(0, 2)))).astype(int)
        fresh = torch.randn(4, len(rows))
        grown = torch.zeros(4, size)
        grown[:, : table.shape[1]] = table
        grown[:, rows] = fresh
        table, columns = grown, columns.replaced(rows, fresh, size)
        assert torch.equal(columns.dense(), table)
        torch.testing.assert_close(columns.times(left), left @ table)
        some = torch.from_numpy(rng.integers(0, size, 5))
        assert torch.equal(columns.take(some), table[:, some])
