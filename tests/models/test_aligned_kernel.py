"""Aligned kernel: blocks that behaviour follows get the weight, noise gets none, and K is the weighted sum by hand."""

import numpy as np
import scipy.sparse as sp
import torch

from palate.core.content import Features
from palate.models.match._aligned import AlignedKernel, _aligned, _together

ITEMS, USERS = 60, 600


def world(rng):
    """People take items that agree in kind and colour; a third feature is noise."""
    kind, colour, noise = (rng.integers(3, size=ITEMS) for _ in range(3))
    wanted = rng.integers(3, size=(USERS, 2))
    like = (kind == wanted[:, :1]) & (colour == wanted[:, 1:]) & (rng.random((USERS, ITEMS)) < 0.6)
    content = {
        name: Features(np.eye(3, dtype=np.float32)[codes], np.ones(ITEMS, bool), identity="tfidf")
        for name, codes in (("kind", kind), ("colour", colour), ("noise", noise))
    }
    return content, sp.csr_array(like.astype(np.float32))


def fitted(content, matrix):
    kernel = AlignedKernel({name: 3 for name in content}, {name: "sparse" for name in content})
    kernel.fit(content, np.arange(ITEMS), matrix)
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
    expected = sum(
        float(w) * np.prod([same[i] for i in term], axis=0)
        for term, w in zip(kernel.terms, kernel.get_buffer("weights"))
    )
    found = kernel.combine(kernel.means(content, a, b), {})
    np.testing.assert_allclose(found.numpy(), expected[np.ix_(a, b)], atol=1e-6)
    np.testing.assert_allclose(torch.diagonal(found[:, a]).numpy(), 1, atol=1e-5)


def test_co_occurrence_is_a_damped_cosine():
    matrix = sp.csr_array(np.array([[1, 1, 0], [1, 1, 1], [0, 1, 0]], np.float32))
    found = _together(matrix, np.array([0, 0]), np.array([1, 2]))
    np.testing.assert_allclose(found, [2 / np.sqrt(5 * 6), 1 / np.sqrt(5 * 4)])


def test_without_any_agreement_the_first_block_stands():
    terms = np.random.default_rng(2).normal(size=(3, 50))
    np.testing.assert_array_equal(_aligned(terms, -terms.sum(0)), [1, 0, 0])
