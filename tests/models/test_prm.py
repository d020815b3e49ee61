"""PRM: what it learns from, and what its transformer reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from tiny_view import N_USERS, RUN
from tiny_view import view as tiny

from palate.batches.lists import ListBatch, ListBatches
from palate.contracts import models
from palate.core.batch import RaggedArray
from palate.models.rerank.prm import ListEncoder
from palate.models.rerank.shared.held_lists import hold_out, labels_of


def test_the_newest_positives_are_held_out():
    view = replace(tiny(), times=np.tile([5, 9, 7], N_USERS))
    kept, held = hold_out(view, 0.3, 0)
    assert len(held) == N_USERS and (held.lengths == 1).all() and kept.valid is None
    assert np.array_equal(held.items, view.items[1::3]), "the one with time 9"
    assert np.array_equal(kept.items, np.delete(view.items, np.s_[1::3])) and len(kept.times) == len(kept)
    assert not (kept.matrix.multiply(matrix_of(held, view.n_items))).nnz
    few = replace(view, users=view.users[:4], items=view.items[:4], times=None)
    assert hold_out(few, 0.9, 0)[1].lengths[:2].tolist() == [2, 0], "one positive is kept"
    drawn = [hold_out(replace(view, times=None), 0.3, seed)[1].items for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[0], drawn[2])


def matrix_of(lists, n_items):
    return sp.csr_array((np.ones(len(lists.items)), lists.items, lists.indptr), shape=(len(lists), n_items))


def test_labels_are_held_positives_of_the_same_user():
    held = RaggedArray.of([[3], [0, 2]])
    assert labels_of(np.array([[3, 0, -1], [3, 0, 2]]), held, 5).tolist() == [[1, 0, 0], [0, 1, 1]]


def test_lists_hold_no_training_positive_and_no_validation_label():
    view = tiny(cold=0)
    model = models.get("prm")(base="content_knn", vectors="image", dim=8, held=0.3, heads=2)
    model.setup(view, RUN)
    assert model.solve(view, RUN) is False
    kept, held = hold_out(view, 0.3, RUN.seed)
    source = model.batches(view, RUN)
    items, known, labels = source.parts[0], source.parts[1], source.parts[4]
    assert len(source) and labels.any(1).all() and (labels <= known).all()
    taken = {int(row): set(kept.history[row].tolist()) for row in range(N_USERS)}
    lists = {frozenset(row[there].tolist()) for row, there in zip(items, known)}
    assert all(any(not row & own for own in taken.values()) for row in lists)
    assert int(labels.sum()) <= len(held.items)
    assert {id(one) for one in model.phases()[0].parameters} == {id(one) for one in model.network.parameters()}


def batch_of(items, known=None, dim=4, labels=None):
    known = torch.ones(items.shape, dtype=torch.bool) if known is None else known
    labels = torch.zeros(items.shape) if labels is None else labels
    scores = torch.linspace(1, -1, items.shape[1]).expand(items.shape)
    return ListBatch(items, known, scores, torch.zeros(len(items), dim), labels)


def test_an_untrained_network_keeps_the_order_and_padding_changes_nothing():
    torch.manual_seed(0)
    network = ListEncoder(4, 8, 5, 2, 1, 0.0).eval()
    table, items = torch.randn(9, 4), torch.tensor([[3, 1, 4, 0, 5]])
    with torch.no_grad():
        logits = network(table[items], batch_of(items))
        np.testing.assert_allclose(logits, batch_of(items).scores)
        torch.nn.init.normal_(network.out.weight)
        known = torch.tensor([[True, True, True, False, False]])
        short = network(table[items], batch_of(items, known))
        other = network(table[torch.tensor([[3, 1, 4, 7, 2]])], batch_of(items, known))
        longer = network(table[items.repeat(1, 2)], batch_of(items.repeat(1, 2)))
        nothing = network(table[items], batch_of(items, known & False))
    assert torch.equal(short, other) and short[0, 3:].tolist() == [-torch.inf] * 2
    assert longer.shape == (1, 10) and bool(longer.isfinite().all()) and bool((nothing == -torch.inf).all())


def test_it_learns_from_the_rest_of_the_list():
    """The positive is the item whose kind occurs once in the list: no item by itself tells."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    lists, kinds = np.zeros((256, 5), np.int64), 4
    labels = np.zeros((192, 5), np.float32)
    for row in range(192):
        odd, usual = rng.choice(kinds, 2, replace=False)
        place = rng.integers(5)
        lists[row], lists[row, place], labels[row, place] = usual, odd, 1
    table = torch.eye(kinds)
    known, flat = np.ones(lists.shape, bool), np.zeros(lists.shape, np.float32)
    source = ListBatches(lists, known, flat, np.zeros((192, kinds), np.float32), labels)
    network = ListEncoder(kinds, 16, 5, 2, 1, 0.0)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(30):
        batch = source.collate(np.arange(128), rng)
        loss = -(network(table[batch.items], batch).log_softmax(1) * batch.labels).sum(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    unseen = source.collate(np.arange(128, 192), rng)
    with torch.no_grad():
        found = network(table[unseen.items], unseen).argmax(1)
    assert (unseen.labels.argmax(1) == found).float().mean() > 0.9
