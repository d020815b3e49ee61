"""Aligned kernel: blocks that behaviour follows get the weight, noise gets none, and K is the weighted sum by hand."""

import numpy as np
import scipy.sparse as sp
import torch

from palate.core.content import Features
from palate.models.match.content_kernel import aligned as module
from palate.models.match.content_kernel.aligned import AlignedKernel, _alignment_weights, _co_occurrences
from palate.models.match.content_kernel.directions import Directions, fit_weights

ITEMS, USERS = 60, 600


def one_hot(codes, identity="tfidf", width=3):
    return Features(np.eye(width, dtype=np.float32)[codes], np.ones(len(codes), bool), identity=identity)


def world(rng):
    """People take items that agree in kind and colour; a third feature is noise."""
    kind, colour, noise = (rng.integers(3, size=ITEMS) for _ in range(3))
    wanted = rng.integers(3, size=(USERS, 2))
    like = (kind == wanted[:, :1]) & (colour == wanted[:, 1:]) & (rng.random((USERS, ITEMS)) < 0.6)
    content = {f"values_{n}": one_hot(codes) for n, codes in (("kind", kind), ("colour", colour), ("noise", noise))}
    return content, sp.csr_array(like.astype(np.float32))


def fitted(content, matrix):
    kernel = AlignedKernel({n: f.dim for n, f in content.items()}, {name: "sparse" for name in content})
    kernel.fit(content, np.arange(matrix.shape[1]), matrix)
    return kernel


def test_the_product_that_behaviour_follows_gets_the_weight():
    content, matrix = world(np.random.default_rng(0))
    kernel = fitted(content, matrix)
    weights = dict(zip(kernel.terms, kernel.get_buffer("weights").tolist()))
    assert max(weights, key=lambda term: weights[term]) == (0, 1)
    assert weights[0, 1] > 0.8
    assert sum(w for term, w in weights.items() if 2 in term) < 0.05
    assert min(weights.values()) >= 0 and abs(sum(weights.values()) - 1) < 1e-6


def test_the_kernel_is_the_weighted_sum_of_products():
    content, matrix = world(np.random.default_rng(1))
    kernel = fitted(content, matrix)
    a, b = np.array([3, 8, 11]), np.arange(ITEMS)
    same = [found.values @ found.values.T for found in content.values()]
    same.append(np.ones((ITEMS, ITEMS)))
    expected = sum(
        float(w) * np.prod([same[i] for i in term], axis=0)
        for term, w in zip(kernel.terms, kernel.get_buffer("weights"))
    )
    found = kernel.combine(kernel.means(content, a, b), {})
    np.testing.assert_allclose(found.numpy(), expected[np.ix_(a, b)], atol=1e-6)
    np.testing.assert_allclose(torch.diagonal(found[:, a]).numpy(), 1, atol=1e-5)


def shop(rng, items=120, users=1500, dull=0.1):
    """People want one kind and one shade, the other is worth ``dull``; a picture shows both."""
    kind, shade = rng.integers(3, size=items), rng.integers(2, size=items)
    wanted = np.stack([rng.integers(3, size=users), rng.integers(2, size=users)], axis=1)
    like = (kind == wanted[:, :1]) & (rng.random((users, items)) < np.where(shade == wanted[:, 1:], 0.4, dull))
    picture = rng.normal(size=(items, 20)).astype(np.float32)
    picture[:, :3] += 5 * np.eye(3, dtype=np.float32)[kind]
    picture[:, 3] += 4 * (2 * shade - 1)
    return kind, shade, picture, sp.csr_array(like.astype(np.float32))


def test_directions_that_people_follow_within_a_category_get_the_weight():
    kind, shade, picture, matrix = shop(np.random.default_rng(0))
    content = {"values_kind": one_hot(kind), "image": Features(picture, np.ones(len(kind), bool), identity="x")}
    kernel = AlignedKernel({"values_kind": 3, "image": 20}, {"values_kind": "sparse", "image": "descriptor"})
    rows = np.arange(len(kind))
    kernel.fit(content, rows, matrix)
    means = kernel.means(content, rows, rows)
    found = kernel.combine(means, {"directions": 1.0}).numpy()
    off = (kind[:, None] == kind) & ~np.eye(len(kind), dtype=bool)
    agree = (shade[:, None] == shade)[off]
    assert np.corrcoef(found[off], agree)[0, 1] > 0.8
    assert np.abs(found[kind[:, None] != kind]).max() < 0.1 * np.abs(found[off]).max()
    plain = kernel.combine(means, {}).numpy()
    np.testing.assert_allclose(found, plain + means["directions"].numpy())


def test_without_categories_behaviour_names_the_groups():
    kind, _, picture, matrix = shop(np.random.default_rng(1), dull=0.4)
    here = np.ones(len(kind), bool)
    here[:5] = False
    content = {"image": Features(picture * here[:, None], here, identity="x")}
    kernel = AlignedKernel({"image": 20}, {"image": "descriptor"})
    kernel.fit(content, np.arange(len(kind)), matrix)
    groups, known = kernel.learned.read(content, np.arange(len(kind)))
    assert kernel.learned.count == 3
    assert known.tolist() == here.tolist() and float(groups[:5].abs().sum()) == 0
    for k in range(3):
        assert len(groups[here & (kind == k)].argmax(1).unique()) == 1


def test_pictures_that_behaviour_does_not_follow_make_no_groups():
    rng = np.random.default_rng(2)
    _, _, picture, _ = shop(rng)
    matrix = sp.csr_array((rng.random((800, len(picture))) < 0.05).astype(np.float32))
    content = {"image": Features(picture, np.ones(len(picture), bool), identity="x")}
    kernel = AlignedKernel({"image": 20}, {"image": "descriptor"})
    kernel.fit(content, np.arange(len(picture)), matrix)
    assert kernel.learned.count == 0


def test_a_kernel_read_again_is_the_same_to_the_bit():
    kind, _, picture, matrix = shop(np.random.default_rng(3))
    content = {"image": Features(picture, np.ones(len(kind), bool), identity="x")}
    one, two = (AlignedKernel({"image": 20}, {"image": "descriptor"}) for _ in range(2))
    rows = np.arange(len(kind))
    one.fit(content, rows, matrix)
    two.load_state_dict(one.state_dict())
    for group, found in one.means(content, rows[:7], rows).items():
        assert torch.equal(found, two.means(content, rows[:7], rows)[group])


def test_co_occurrence_is_a_damped_cosine():
    matrix = sp.csr_array(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32))
    one, two, found = _co_occurrences(matrix, np.random.default_rng(0))
    assert list(zip(one.tolist(), two.tolist())) == [(0, 1), (0, 2), (1, 2)]
    np.testing.assert_allclose(found, [2 / np.sqrt(5 * 6), 1 / np.sqrt(5 * 4), 1 / np.sqrt(6 * 4)])


def test_a_sample_of_pairs_keeps_the_sum(monkeypatch):
    monkeypatch.setattr(module, "PAIRS", 300)
    matrix = sp.csr_array((np.random.default_rng(0).random((200, 40)) < 0.3).astype(np.float32))
    _, _, some = _co_occurrences(matrix, np.random.default_rng(1))
    monkeypatch.setattr(module, "PAIRS", 10**6)
    _, _, every = _co_occurrences(matrix, np.random.default_rng(1))
    assert len(some) == 300 and abs(some.sum() / every.sum() - 1) < 0.05


def test_directions_weigh_what_is_left_within_groups():
    """phi by hand: what one category column leaves of a picture; the weight goes to the column that people follow."""
    rng = np.random.default_rng(4)
    kind = rng.integers(2, size=400)
    values = np.stack([3.0 * kind + rng.normal(size=400), rng.normal(size=400)], axis=1).astype(np.float32)
    content = {"values_kind": one_hot(kind, width=2), "words": Features(values, np.ones(400, bool), identity="tfidf")}
    found = Directions({"values_kind": 2, "words": 2}, {"values_kind": "sparse", "words": "sparse"})
    rows = np.arange(400)
    found.fit_blocks(content, rows)
    phi = found.read(content, rows)
    assert abs(np.corrcoef(phi[:, 0], kind)[0, 1]) < 0.01
    torch.testing.assert_close(phi.std(0, correction=0), torch.ones(2), atol=0.01, rtol=0)
    one, two = rng.integers(400, size=(2, 50_000))
    follows = (phi[one, 1] * phi[two, 1]).numpy().astype(np.float64)
    found.fit_weights(phi, (one, two), 1.0, (one, two, follows / len(one)))
    np.testing.assert_allclose(found.get_buffer("weights"), [0, 1], atol=0.05)


def test_without_any_agreement_no_term_has_weight():
    terms = torch.from_numpy(np.random.default_rng(2).normal(size=(3, 50)).astype(np.float32))
    target = -terms.sum(0)
    assert _alignment_weights(terms, (terms @ target).numpy() / 50, float(target.mean())).tolist() == [0, 0, 0]


def test_where_nobody_took_two_items_the_first_block_stands_alone():
    content, _ = world(np.random.default_rng(5))
    for items in (ITEMS, 1):
        some = {name: Features(f.values[:items], f.present[:items], identity="tfidf") for name, f in content.items()}
        kernel = fitted(some, sp.csr_array(np.eye(items, dtype=np.float32)))
        expected = some["values_kind"].values @ some["values_kind"].values.T
        found = kernel.combine(kernel.means(some, np.arange(items), np.arange(items)), {"directions": 4.0})
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_content_that_no_two_items_share_is_no_error():
    """Every item has a word of its own: similarity is 0 wherever it is looked at."""
    words = Features(np.eye(ITEMS, dtype=np.float32), np.ones(ITEMS, bool), identity="tfidf")
    matrix = sp.csr_array((np.random.default_rng(6).random((200, ITEMS)) < 0.2).astype(np.float32))
    kernel = AlignedKernel({"words": ITEMS}, {"words": "sparse"})
    kernel.fit({"words": words}, np.arange(ITEMS), matrix)
    found = kernel.combine(kernel.means({"words": words}, np.arange(3), np.arange(ITEMS)), {"directions": 4.0})
    assert bool(found.isfinite().all())


def test_weights_are_fitted_where_rounding_leaves_the_covariance_indefinite():
    rng = np.random.default_rng(2)
    terms = rng.normal(size=(3, 500))
    gram = np.cov(np.stack([terms[0], terms[0], terms[1]]), bias=True)
    gram[0, 1] = gram[1, 0] = 1.1 * gram[0, 0]
    spread = np.sqrt(np.diagonal(gram))
    assert np.linalg.eigvalsh(gram / spread[:, None] / spread + 1e-3 * np.eye(3))[0] < 0
    weights = fit_weights(gram, gram @ np.array([0.0, 0.0, 0.5]), spread, 1e-3)
    assert weights.min() >= 0 and abs(weights[2] - 0.5) < 0.05 and weights[:2].sum() < 0.1
