"""Scorers: the same numbers whoever asks, in whatever company; top-k is exact."""

from __future__ import annotations

import numpy as np
import torch
from cases import Case, check, people, scores, visitors
from tiny_world import N_ITEMS, N_USERS

from palate.core.batch import RaggedArray
from palate.core.errors import UnsupportedError

CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def known_items(case: Case) -> np.ndarray:
    return np.flatnonzero(case.fitted().scorer().scorable())


@check()
def scores_are_finite_float32(case: Case) -> None:
    scorer = case.fitted().scorer()
    with torch.inference_mode():
        found = scorer.score(people(case.data()))
    assert found.dtype == torch.float32 and found.shape == (N_USERS, N_ITEMS)
    assert bool(torch.isfinite(found[:, torch.from_numpy(known_items(case))]).all())
    assert not bool(found.isnan().any())


@check()
def scorable_is_a_mask_of_items(case: Case) -> None:
    scorer = case.fitted().scorer()
    mask = scorer.scorable()
    assert mask.dtype == bool and mask.shape == (N_ITEMS,) and scorer.n_items == N_ITEMS
    described = np.all([found.present for found in case.data().items.given.values()], axis=0)
    sure = case.data().select_view().warm_items & (described | (not case.kind.requirements.content))
    assert mask[sure].all(), "an item with behaviour and all content must be scorable"


@check()
def order_of_users_does_not_matter(case: Case) -> None:
    order = np.random.default_rng(0).permutation(N_USERS)
    scorer, users = case.fitted().scorer(), people(case.data())
    np.testing.assert_allclose(scores(scorer, users.take(order)), scores(scorer, users)[order], **CLOSE)


@check()
def scores_do_not_depend_on_the_batch(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    whole = scores(scorer, users)
    for size in (1, 5):
        parts = [scores(scorer, users.take(np.arange(s, min(s + size, N_USERS)))) for s in range(0, N_USERS, size)]
        np.testing.assert_allclose(np.concatenate(parts), whole, **CLOSE)


@check()
def some_items_score_as_among_all(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    whole = scores(scorer, users)
    for items in (np.array([7]), np.array([20, 3, 11, 0]), np.arange(N_ITEMS)[::-1].copy()):
        np.testing.assert_allclose(scores(scorer, users, items), whole[:, items], **CLOSE)


@check()
def one_user_alone_scores_the_same(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    alone = scores(scorer, users.take(np.array([4])))
    assert alone.shape == (1, N_ITEMS)
    np.testing.assert_allclose(alone[0], scores(scorer, users)[4], **CLOSE)


@check()
def no_users_are_no_scores(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    none = users.take(np.zeros(0, np.int64))
    assert scores(scorer, none).shape == (0, N_ITEMS)
    assert scorer.topk(none, 3)[0].shape[0] == 0


@check()
def repeated_scores_are_equal(case: Case) -> None:
    model, users = case.fitted(), people(case.data())
    scorer = model.scorer()
    first = scores(scorer, users)
    assert np.array_equal(scores(scorer, users), first)
    assert np.array_equal(scores(model.scorer(), users), first)


@check()
def scoring_is_the_same_under_any_global_seed(case: Case) -> None:
    users = people(case.data())
    torch.manual_seed(1)
    first = scores(case.fitted().scorer(), users)
    torch.manual_seed(2)
    assert np.array_equal(scores(case.fitted().scorer(), users), first)


@check()
def scoring_needs_no_gradient_mode(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    assert not scorer.score(users).requires_grad


@check()
def vectors_give_the_scores(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    try:
        items, mine = scorer.item_vectors(), scorer.user_vectors(users)
    except UnsupportedError as error:
        assert error.hint
        return
    assert items.dtype == mine.dtype == torch.float32 and len(items) == N_ITEMS
    product = mine @ items.T if mine.ndim == 2 else (mine @ items.T).amax(1)
    np.testing.assert_allclose(product.detach().numpy(), scores(scorer, users), **CLOSE)
    rows = np.array([9, 2])
    assert torch.equal(scorer.item_vectors(rows), items[torch.from_numpy(rows)])


def brute_force(
    table: np.ndarray, k: int, exclude: RaggedArray | None = None, allowed: np.ndarray | None = None
) -> list[list[int]]:
    out = []
    for user, row in enumerate(table):
        gone = set() if exclude is None else set(exclude[user].tolist())
        open_ = [i for i in range(len(row)) if i not in gone and (allowed is None or allowed[i])]
        out.append(sorted(open_, key=lambda i: (-row[i], i))[:k])
    return out


def same_lists(found: np.ndarray, wanted: list[list[int]], table: np.ndarray) -> None:
    """Equal up to items whose scores differ by rounding."""
    for user, want in enumerate(wanted):
        got = [int(i) for i in found[user] if i >= 0]
        assert len(got) == len(want), f"user {user}: {len(got)} items, {len(want)} possible"
        np.testing.assert_allclose(table[user][got], table[user][want], **CLOSE)


@check()
def topk_equals_brute_force(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    table = scores(scorer, users)
    known = scorer.scorable()
    for k in (1, 5, 20):
        same_lists(scorer.topk(users, k, None, known)[0], brute_force(table, k, None, known), table)


@check()
def topk_is_sorted_and_distinct(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    ids, values = scorer.topk(users, 12, users.history, scorer.scorable())
    assert ids.dtype == np.int64 and values.dtype == np.float32 and ids.shape == values.shape == (N_USERS, 12)
    for row, value in zip(ids, values):
        row, value = row[row >= 0], value[row >= 0]
        assert len(set(row)) == len(row) and (np.diff(value) <= 0).all() and np.isfinite(value).all()


@check()
def topk_scores_are_the_scores(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    ids, values = scorer.topk(users, 6, None, scorer.scorable())
    np.testing.assert_allclose(values, np.take_along_axis(scores(scorer, users), ids, 1), **CLOSE)


@check()
def topk_pads_only_when_candidates_ran_out(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    known = scorer.scorable()
    ids, values = scorer.topk(users, N_ITEMS + 7, users.history, known)
    for user, row in enumerate(ids):
        possible = int(known.sum() - known[users.history[user]].sum())
        assert (row[:possible] >= 0).all() and (row[possible:] == -1).all()
        assert (values[user][possible:] == -np.inf).all()


@check()
def topk_respects_exclude(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    best = scorer.topk(users, 3)[0]
    out = RaggedArray.of([row.tolist() for row in best])
    ids = scorer.topk(users, 10, out)[0]
    assert not any(set(row) & set(gone) for row, gone in zip(ids.tolist(), best.tolist()))
    table = scores(scorer, users)
    same_lists(ids, brute_force(table, 10, out), table)


@check()
def topk_respects_allowed(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    allowed = np.zeros(N_ITEMS, bool)
    allowed[[0, 4, 9, 13]] = True
    ids = scorer.topk(users, 10, None, allowed)[0]
    assert set(ids[ids >= 0].tolist()) == {0, 4, 9, 13}
    allowed[:] = False
    assert (scorer.topk(users, 3, None, allowed)[0] == -1).all()


@check()
def topk_of_one_user_is_that_of_all(case: Case) -> None:
    scorer, users = case.fitted().scorer(), people(case.data())
    table = scores(scorer, users)
    everyone = scorer.topk(users, 5)[0]
    for user in (0, 17):
        alone = scorer.topk(users.take(np.array([user])), 5)[0][0]
        np.testing.assert_allclose(table[user][alone], table[user][everyone[user]], **CLOSE)


@check()
def empty_histories_score_finite(case: Case) -> None:
    model = case.fitted()
    scorer = model.scorer()
    known = known_items(case)
    users = people(case.data(), np.arange(3))
    blank = type(users)(users.rows, RaggedArray.of([[], [], []]))
    assert np.isfinite(scores(scorer, blank)[:, known]).all()
    if model.capabilities.new_users:
        assert np.isfinite(scores(scorer, visitors([[], [1], []]))[:, known]).all()


@check(lambda kind: kind.capabilities.new_users)
def visitors_mix_with_known_users(case: Case) -> None:
    scorer, data = case.fitted().scorer(), case.data()
    users = people(data, np.array([2, 9]))
    mixed = type(users)(
        np.array([2, -1, 9]), RaggedArray.of([users.history[0].tolist(), [5, 8], users.history[1].tolist()])
    )
    found = scores(scorer, mixed)
    np.testing.assert_allclose(found[[0, 2]], scores(scorer, users), **CLOSE)
    np.testing.assert_allclose(found[1:2], scores(scorer, visitors([[5, 8]])), **CLOSE)
