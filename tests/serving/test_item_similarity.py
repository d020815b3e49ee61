"""Similar items: popularity divides out, content counts, and what is unknown says so."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from palate.core.errors import FeatureError
from palate.ranking.scorer import Scorer
from palate.serving import item_similarity as module
from palate.serving.snapshot import Lineage, ServedModel

N = 40


class Pairs(Scorer):
    """Scores of an item-item table, summed over the history."""

    def __init__(self, table):
        super().__init__(len(table))
        self.table = torch.as_tensor(table, dtype=torch.float32)

    def score(self, users, items=None):
        rows = [self.table[users.history.take(np.array([at])).items].sum(0) for at in range(len(users))]
        scores = torch.stack(rows)
        return scores if items is None else scores[:, torch.as_tensor(items)]


@pytest.fixture
def resolved(monkeypatch):
    """Item 0 is scored high for everybody, item 7 for those who took item 3 alone; there is no content."""
    table = np.random.default_rng(0).normal(0, 0.1, (N, N))
    table[:, 0] += 10.0
    table[3, 7] += 1.0
    model = ServedModel("main", Pairs(table), np.ones(N, bool), new_users=True)
    snapshot = SimpleNamespace(lineage=Lineage(), deployment=SimpleNamespace(items=range(N)))

    set_content(monkeypatch, None)
    return SimpleNamespace(snapshot=snapshot, model=model, table=table)


def set_content(monkeypatch, values):
    def similarity(row):
        if values is None:
            raise FeatureError("this item has no content to compare")
        return values

    monkeypatch.setattr(module, "aspects_of", lambda snapshot: SimpleNamespace(similarity=similarity))


def similar(resolved, row):
    return module.item_similarity((resolved.snapshot, resolved.model), row)


def test_what_everybody_gets_is_not_similar(resolved):
    assert resolved.table[3].argmax() == 0
    assert similar(resolved, 3).argmax() == 7
    assert (np.argsort(-similar(resolved, 3)) == 0).argmax() > 2, "the popular item has lost its lead"


def test_the_lift_by_hand(resolved):
    table = resolved.table
    lift = (table[3] - table.mean(0)) / table.std(0)
    expected = (lift - lift.mean()) / lift.std()
    np.testing.assert_allclose(similar(resolved, 3), expected, rtol=2e-3, atol=2e-3)


def test_content_is_added_and_decides_where_behaviour_is_unknown(resolved, monkeypatch):
    content = np.full(N, np.nan, np.float32)
    content[[5, 6]] = 3.0, -3.0
    set_content(monkeypatch, content)
    both = similar(resolved, 3)
    behaviour = (both - both.mean()) / both.std()
    assert both[5] - both[6] > 1.0 and np.isfinite(behaviour).all()
    blind = ServedModel("main", resolved.model.scorer, np.ones(N, bool), new_users=False)
    alone = module.item_similarity((resolved.snapshot, blind), 3)
    assert np.flatnonzero(np.isfinite(alone)).tolist() == [5, 6] and alone.argmax() == 5


def test_without_behaviour_and_content_the_reason_is_given(resolved):
    blind = ServedModel("main", resolved.model.scorer, np.ones(N, bool), new_users=False)
    with pytest.raises(FeatureError, match="no content"):
        module.item_similarity((resolved.snapshot, blind), 3)


def test_the_behaviour_of_added_items_is_what_their_content_leads_to_expect(resolved, monkeypatch):
    """And the baseline, which is of the run, is computed once however the catalogue grows."""
    before = similar(resolved, 3)
    made = []
    monkeypatch.setattr(module, "_baseline", lambda *args: made.append(args))
    grown = np.full((N + 2, N + 2), 5.0)
    grown[:N, :N] = resolved.table
    model = ServedModel("main", Pairs(grown), np.ones(N + 2, bool), new_users=True)
    content = np.full(N + 2, np.nan, np.float32)
    content[N] = 1.0
    set_content(monkeypatch, content)
    found = module.item_similarity((resolved.snapshot, model), 3)
    assert not made and np.isneginf(found[N + 1]) and np.isfinite(found[N])
    np.testing.assert_allclose(found[:N], before, rtol=1e-5, atol=1e-5)


def test_what_is_unknown_of_one_part_is_what_the_other_leads_to_expect():
    behaviour = np.array([1.0, -1.0, 0.0, np.nan, 2.0, np.nan], np.float32)
    content = np.array([1.0, -1.0, 0.0, 3.0, np.nan, np.nan], np.float32)
    # the slope over the first three: (1 + 1 + 0) / 3
    slope = 2 / 3
    expected = [3.0, -3.0, 0.0, 3 * slope + 2 * 3, 2 + 2 * 2 * slope, np.nan]
    np.testing.assert_allclose(module._combined(behaviour, content), expected, rtol=1e-6)
    opposed = module._combined(np.array([1, -1, np.nan], np.float32), np.array([-1, 1, 2], np.float32))
    np.testing.assert_allclose(opposed, [-1, 1, 4], rtol=1e-6)
