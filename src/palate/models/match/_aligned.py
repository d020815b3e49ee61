"""A kernel whose blocks and products of blocks are weighed by how well they tell who is taken together.

    K = sum_t w_t k_t,  w >= 0,  k_t one block's similarity or the product of two
    w = argmin ||C - sum_t w_t k_t||^2 over pairs of items, both sides centred

with C the co-occurrence of items in histories, as a damped cosine. Fitting a combination of kernels to a target is
kernel alignment (Cortes, Mohri & Rostamizadeh, JMLR 2012); products of two blocks and this target are our own choice.
Tastes that add up over attributes within a category are a sum of such products; noise blocks get weight 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from torch import Tensor, nn

from palate.core.content import Features

from ._kernel import Block

PAIRS = 200_000
"""Pairs of items at most that the weights are fitted on."""
DAMPING = 3.0
CHUNK = 1024


class AlignedKernel(nn.Module):
    """Args: widths: feature name -> width. kinds: feature name -> kind of its block."""

    groups = ("base",)

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.names = list(widths)
        self.blocks = nn.ModuleList(Block(kinds[name], widths[name]) for name in self.names)
        singles = [(i,) for i in range(len(self.names))]
        self.terms = [*singles, *itertools.combinations_with_replacement(range(len(self.names)), 2)]
        self.register_buffer("weights", torch.zeros(len(self.terms)))

    def fit(self, content: Mapping[str, Features], rows: NDArray[np.int64], matrix: sp.csr_array) -> None:
        """Fit every block on ``rows``, then the weights on ``matrix``, the histories over all items."""
        for name, block in zip(self.names, self._blocks()):
            block.fit(content[name], rows)
        rng = np.random.default_rng(0)
        one, two = rng.integers(len(rows), size=(2, PAIRS))
        one, two = one[one != two], two[one != two]
        found = torch.stack([self._pairwise(content, i, rows[one], rows[two]) for i in range(len(self.names))])
        terms = np.stack([found[list(term)].prod(0).numpy() for term in self.terms]).astype(np.float64)
        self.get_buffer("weights").copy_(torch.from_numpy(_aligned(terms, _together(matrix[:, rows], one, two))))

    def means(self, content: Mapping[str, Features], a: NDArray[np.int64], b: NDArray[np.int64]) -> dict[str, Tensor]:
        """{"base": K float32 [len(a), len(b)]}; about 1 on the diagonal."""
        out = torch.zeros(len(a), len(b))
        weights = self.get_buffer("weights")
        used = [(term, float(w)) for term, w in zip(self.terms, weights) if w > 0]
        needed = sorted({i for term, _ in used for i in term})
        blocks = self._blocks()
        left = {i: blocks[i].read(content[self.names[i]], a) for i in needed}
        for start in range(0, len(b), CHUNK):
            some = b[start : start + CHUNK]
            found = {i: blocks[i].similarity(left[i], blocks[i].read(content[self.names[i]], some)) for i in needed}
            for term, weight in used:
                part = found[term[0]] if len(term) == 1 else found[term[0]] * found[term[1]]
                out[:, start : start + CHUNK].add_(part, alpha=weight)
        return {"base": out}

    def combine(self, means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The kernel from :meth:`means`, a copy."""
        return means["base"].clone()

    def _pairwise(
        self, content: Mapping[str, Features], index: int, a: NDArray[np.int64], b: NDArray[np.int64]
    ) -> Tensor:
        """float32 [n]: similarity by one block of ``a[j]`` and ``b[j]``."""
        block, known = self._blocks()[index], content[self.names[index]]
        rows, places = np.unique(np.concatenate([a, b]), return_inverse=True)
        left, right = torch.from_numpy(places[: len(a)]), torch.from_numpy(places[len(a) :])
        vectors, there = block.read(known, rows)
        parts = []
        for start in range(0, len(rows), CHUNK):
            stop = min(start + CHUNK, len(rows))
            mine = torch.nonzero((left >= start) & (left < stop)).squeeze(1)
            table = block.similarity((vectors[start:stop], there[start:stop]), (vectors, there))
            parts.append((mine, table[left[mine] - start, right[mine]]))
        out = torch.empty(len(a))
        for mine, values in parts:
            out[mine] = values
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


def _together(matrix: sp.csr_array, a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.float64]:
    """Damped cosine of the columns ``a[j]`` and ``b[j]``."""
    columns = sp.csc_array(matrix, dtype=np.float32)
    counts = np.asarray(columns.sum(axis=0), np.float64)
    both = np.concatenate(
        [
            np.asarray(columns[:, a[s : s + CHUNK]].multiply(columns[:, b[s : s + CHUNK]]).sum(axis=0), np.float64)
            for s in range(0, len(a), CHUNK)
        ]
    )
    return np.asarray(both / np.sqrt((counts[a] + DAMPING) * (counts[b] + DAMPING)))


def _aligned(terms: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights [T] >= 0 of ``terms`` [T, n] that fit ``target`` [n], with a sum of 1."""
    centred = terms - terms.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1)
    useful = np.flatnonzero(spread > 1e-6)
    scaled = centred[useful] / spread[useful, None]
    gram = scaled @ scaled.T / scaled.shape[1] + 1e-3 * np.eye(len(useful))
    factor = np.linalg.cholesky(gram)
    moment = scaled @ (target - target.mean()) / scaled.shape[1]
    found = nnls(factor.T, np.linalg.solve(factor, moment))[0] / spread[useful]
    weights = np.zeros(len(terms))
    weights[useful] = found
    return weights / weights.sum() if weights.sum() > 0 else np.where(np.arange(len(terms)) == 0, 1.0, 0.0)
