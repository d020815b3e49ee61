"""A kernel whose blocks and products of blocks are weighted by how well they predict co-occurrence in histories.

    K = K1 + a K2,  K1 = sum_t w_t k_t,  w >= 0,  k_t one block's similarity or the product of two
    w = argmin sum_ij a_i^2 a_j^2 (C_ij / (a_i a_j) - b - sum_t w_t k_t(i, j))^2,  a_i = n_i / sqrt(n_i + 3)

with C the co-occurrence of items in histories as a damped cosine, and a_i a_j what popularity alone would make of it.
Fitting a combination of kernels to a target is kernel alignment (Cortes, Mohri & Rostamizadeh, JMLR 2012); products of
two blocks and this target are our own choice. Tastes that add up over attributes within a category are a sum of such
products; noise blocks get weight 0. K2 weighs single directions within items that K1 finds alike (see ``directions``);
groups learnt from behaviour are one more block (see ``groups``). Moments with C are exact over the pairs that were
taken together, all others are means over sampled pairs.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.content import Features
from palate.models.match.content_kernel.blocks import Block
from palate.models.match.content_kernel.directions import Directions, fit_weights
from palate.models.match.content_kernel.groups import GROUPS, LearnedGroups
from palate.models.match.shared.columns import Rows

PAIRS = 500_000
"""Pairs of items at most behind a mean, and pairs taken together at most behind a moment."""
GATED = 200_000
"""Pairs drawn in proportion to K1 squared for the weights of directions."""
DAMPING = 3.0
BLOCK = 1024

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PreparedItems:
    """Items, prepared for similarities.

    Attributes:
        blocks: place of a block -> prepared vectors and mask.
        phi: directions with a weight, float32 [n, D']; None where directions take no part.
    """

    blocks: dict[int, tuple[Tensor, Tensor]]
    phi: Tensor | None


class AlignedKernel(nn.Module):
    """K1 + a K2 of the module's formula; its two groups are ``base`` (K1) and ``directions`` (K2).

    Args:
        widths: feature name -> width.
        kinds: feature name -> kind of its block.
    """

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.names = list(widths)
        self.blocks = nn.ModuleList([*(Block(kinds[n], widths[n]) for n in self.names), Block("sparse", GROUPS)])
        singles = [(i,) for i in range(len(self.blocks))]
        self.terms = [*singles, *itertools.combinations_with_replacement(range(len(self.blocks)), 2)]
        self.register_buffer("weights", torch.zeros(len(self.terms)))
        self.learned = LearnedGroups(widths, kinds)
        self.directions = Directions(widths, kinds, GROUPS)

    @property
    def groups(self) -> tuple[str, ...]:
        """``base`` is K1, ``directions`` K2."""
        return ("base", "directions") if self.directions.names else ("base",)

    def fit(self, content: Mapping[str, Features], rows: Rows, matrix: sp.csr_array) -> None:
        """Fit the blocks, then the weights; without any interaction the first block has all the weight.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items to fit on.
            matrix: [users, items], histories over all items.
        """
        for name, block in zip(self.names, self._blocks()):
            block.fit(content[name], rows)
        self.get_buffer("weights").zero_()[0] = 1.0
        self.directions.get_buffer("weights").zero_()
        rng = np.random.default_rng(0)
        known = sp.csr_array(matrix[:, rows])
        counts = np.asarray(known.sum(axis=0), np.float64)
        if not counts.any():
            return
        a = counts / np.sqrt(counts + DAMPING)
        a /= np.sqrt((a**2).mean())
        one, two = rng.choice(len(rows), size=(2, PAIRS), p=a**2 / len(rows))
        one, two = one[one != two], two[one != two]
        first, second, c = _co_occurrences(known, rng)
        if not len(c):
            return
        c *= a[first] * a[second] / (len(rows) * (len(rows) - 1) / 2)
        self.learned.fit(content, rows, a**2 / len(rows), (first, second, c))
        pairs = np.concatenate([one, first]), np.concatenate([two, second])
        similarities = self._pair_similarities(content, rows, *pairs)
        sampled, taken = similarities[:, : len(one)], similarities[:, len(one) :]
        moments = np.array([float(term.double() @ torch.from_numpy(c)) for term in self._products(taken)])
        weights = _alignment_weights(torch.stack([*self._products(sampled)]), moments, c.sum())
        total = float(weights.sum())
        if not total:
            return
        self.get_buffer("weights").copy_(torch.from_numpy(weights / total))
        square = self._mixed(sampled).double().numpy() ** 2
        if not self.directions.names or not square.any():
            return
        groups, _ = self.learned.read(content, rows)
        self.directions.fit_blocks(content, rows, groups)
        phi = self.directions.read(content, rows, groups)
        drawn = rng.choice(len(one), GATED, p=square / square.sum())
        gated = c * self._mixed(taken).double().numpy() / total
        self.directions.fit_weights(phi, (one[drawn], two[drawn]), float(square.mean()), (first, second, gated))

    def keep_only(self, content: Mapping[str, Features], names: Collection[str]) -> dict[str, Features]:
        """Content of items as if they had nothing but some features: all are alike in the others.

        Args:
            content: feature name -> vectors.
            names: features to keep.
        """
        none = np.zeros(len(next(iter(content.values()))), bool)
        return {name: vectors if name in names else vectors.mask_rows(none) for name, vectors in content.items()}

    def weight_share(self, names: Collection[str], weights: Mapping[str, float]) -> float:
        """Share of the kernel's total weight that some features carry.

        Args:
            names: these features.
            weights: group -> weight.

        Returns:
            1: the weights of blocks are learnt from behaviour, so they hold for any features that are left.
        """
        return 1.0

    def effective_weights(self, names: Collection[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        """Weights of groups where items have only some features: ``weights``, as K1 always takes part.

        Args:
            names: the features that items have.
            weights: group -> weight.
        """
        return weights

    def read(
        self, content: Mapping[str, Features], rows: Rows, weights: Mapping[str, float] | None = None
    ) -> PreparedItems:
        """Prepare items for :meth:`between`.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items.
            weights: group -> weight; directions are left out where they have none.
        """
        groups, described = self.learned.read(content, rows)
        blocks = {
            i: (groups, described) if i == len(self.names) else self._blocks()[i].read(content[self.names[i]], rows)
            for i in self._needed()
        }
        if "directions" not in self.groups or not (weights is None or weights.get("directions")):
            return PreparedItems(blocks, None)
        return PreparedItems(blocks, self.directions.read(content, rows, groups)[:, self._heavy()])

    def between(self, a: PreparedItems, b: PreparedItems) -> dict[str, Tensor]:
        """Similarity of two sets of items.

        Args:
            a: items, from :meth:`read`.
            b: items, from :meth:`read`.

        Returns:
            {"base": K1, "directions": K2}, float32 [n_a, n_b]; K1 is about 1 on the diagonal. Without directions, K1
            alone.
        """
        base = self._mixed({i: self._blocks()[i].similarity(a.blocks[i], b.blocks[i]) for i in a.blocks})
        if a.phi is None or b.phi is None:
            return {"base": base}
        weights = self.directions.get_buffer("weights")[self._heavy()]
        return {"base": base, "directions": base * (a.phi @ (b.phi * weights).T)}

    def means(self, content: Mapping[str, Features], a: Rows, b: Rows) -> dict[str, Tensor]:
        """As :meth:`between`, of items that are not prepared; a part of ``b`` is read at a time.

        Args:
            content: feature name -> vectors of all items.
            a: int64 [n_a], items.
            b: int64 [n_b], items.
        """
        out = {group: torch.empty(len(a), len(b)) for group in self.groups}
        left = self.read(content, a)
        for start in range(0, len(b), BLOCK):
            for group, part in self.between(left, self.read(content, b[start : start + BLOCK])).items():
                out[group][:, start : start + BLOCK] = part
        return out

    def combine(self, means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The kernel, float32 [n_a, n_b], a new tensor.

        Args:
            means: from :meth:`means` or :meth:`between`.
            weights: group -> weight; ``base`` has weight 1.
        """
        share = weights.get("directions", 0.0)
        return means["base"] + share * means["directions"] if share and "directions" in means else means["base"].clone()

    def _heavy(self) -> Tensor:
        """Directions with a weight."""
        return self.directions.get_buffer("weights").nonzero().squeeze(1)

    def _needed(self) -> list[int]:
        """Blocks with a weight."""
        return sorted({i for term, w in zip(self.terms, self.get_buffer("weights").tolist()) if w > 0 for i in term})

    def _mixed(self, similarities: Mapping[int, Tensor] | Tensor) -> Tensor:
        """K1 from similarities by block."""
        total: Tensor | None = None
        for term, weight in zip(self.terms, self.get_buffer("weights").tolist()):
            if weight > 0:
                first, last = similarities[term[0]], similarities[term[-1]]
                part = first * weight if len(term) == 1 else first * last * weight
                total = part if total is None else total.add_(part)
        if total is None:
            raise ValueError("every weight of the kernel is 0: fit it first")
        return total

    def _products(self, similarities: Tensor) -> Iterator[Tensor]:
        """k_t [n] of every term from similarities by block [B, n]."""
        return (similarities[list(term)].prod(0) for term in self.terms)

    def _read(self, i: int, content: Mapping[str, Features], rows: Rows) -> tuple[Tensor, Tensor]:
        """Vectors and mask of block ``i``; the learned groups are the block after the features."""
        if i == len(self.names):
            return self.learned.read(content, rows)
        return self._blocks()[i].read(content[self.names[i]], rows)

    def _pair_similarities(self, content: Mapping[str, Features], rows: Rows, one: Rows, two: Rows) -> Tensor:
        """Similarity by every block of the items at places ``one[j]`` and ``two[j]`` of ``rows``, float32 [B, n]."""
        out = torch.empty(len(self.blocks), len(one))
        order = np.argsort(one, kind="stable")
        bounds = np.searchsorted(one[order], np.arange(0, len(rows) + BLOCK, BLOCK))
        for i, block in enumerate(self._blocks()):
            vectors, present = self._read(i, content, rows)
            for part, start in enumerate(range(0, len(rows), BLOCK)):
                mine = order[bounds[part] : bounds[part + 1]]
                stop = start + BLOCK
                table = block.similarity((vectors[start:stop], present[start:stop]), (vectors, present))
                out[i, mine] = table[one[mine] - start, two[mine]]
        return out

    def _blocks(self) -> list[Block]:
        return [block for block in self.blocks if isinstance(block, Block)]


def _co_occurrences(matrix: sp.csr_array, rng: np.random.Generator) -> tuple[Rows, Rows, Floats]:
    """Pairs of columns with a row in common and their damped cosine; of too many a sample, scaled to the sum of all."""
    seen = sp.csr_array(matrix, dtype=np.float32)
    counts = np.asarray(seen.sum(axis=0), np.float64)
    both = sp.coo_array(sp.triu(sp.csr_array(seen.T @ seen).sorted_indices(), k=1, format="csr"))
    one, two, c = both.coords[0].astype(np.int64), both.coords[1].astype(np.int64), both.data.astype(np.float64)
    c /= np.sqrt((counts[one] + DAMPING) * (counts[two] + DAMPING))
    if len(c) > PAIRS:
        sample = rng.choice(len(c), PAIRS, replace=False)
        one, two, c = one[sample], two[sample], c[sample] * (len(c) / PAIRS)
    return one, two, c


def _alignment_weights(terms: Tensor, moments: Floats, target: float) -> Floats:
    """Weights [T] >= 0 of ``terms``, samples [T, n], that fit a target with mean ``target`` and ``moments`` [T]."""
    mean = terms.mean(1, keepdim=True)
    centred = terms - mean
    gram = (centred @ centred.T / terms.shape[1]).double().numpy()
    spread = np.sqrt(np.diagonal(gram))
    useful = np.flatnonzero(spread > 1e-6)
    weights = np.zeros(len(terms))
    covariance = moments - mean.squeeze(1).double().numpy() * target
    weights[useful] = fit_weights(gram[np.ix_(useful, useful)], covariance[useful], spread[useful], 1e-3)
    return weights
