"""Kernels over content blocks: one similarity a column or modality, averaged, then exponentiated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from palate.core.content import Features

MEDIA = ("image", "audio", "video")
DENSE_FROM = 0.03
"""Share of non-zero entries above which a dense product is faster."""
FEW = 64
"""Up to as many rows on a side a dense product is faster than to make the other side sparse."""

Read = dict[str, tuple[Tensor, Tensor]]
"""Feature -> prepared vectors and mask of some items."""


class Block(nn.Module):
    """Similarity of items by one feature, with statistics of the items seen in fitting.

    Text and attributes: cosine after centring dense vectors (tf-idf rows are not centred). Numbers:
    exp(-1/2 ((x - x') / (sd / 2))^2). Pictures, sound, video: exp(-d^2 / median d^2) on standardised columns. Two items
    that both lack the feature are alike in that (1), one that lacks it is unlike one that has it (0).
    """

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("spread", torch.ones(1))

    def fit(self, found: Features, rows: np.ndarray) -> None:
        """Take statistics over ``rows`` that have the feature."""
        values = torch.from_numpy(found.values[rows[found.present[rows]]].astype(np.float32))
        if len(values) < 2:
            return
        if self.kind != "sparse":
            self.get_buffer("mean").copy_(values.mean(0))
        if self.kind in ("number", "descriptor"):
            self.get_buffer("scale").copy_(values.std(0).clamp(min=1e-6))
        if self.kind == "descriptor":
            some = self._read(values[torch.linspace(0, len(values) - 1, min(len(values), 500)).long()])
            distances = torch.cdist(some, some)[~torch.eye(len(some), dtype=torch.bool)].square()
            self.get_buffer("spread").copy_(distances.median().clamp(min=1e-6))

    def read(self, found: Features, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Prepared vectors float32 [n, d] and mask bool [n] of ``rows``."""
        return self._read(torch.from_numpy(found.values[rows].astype(np.float32))), torch.from_numpy(
            found.present[rows]
        )

    def similarity(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """float32 [n_a, n_b] from two :meth:`read` results."""
        (x, here), (y, there) = a, b
        if self.kind in ("number", "descriptor"):
            found = (x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * x @ y.T).clamp_(min=0)
            found = found.div_(-2.0 if self.kind == "number" else -self.get_buffer("spread")).exp_()
        else:
            found = sparse_cosine(x, y) if self.kind == "sparse" else x @ y.T
        if bool(here.all()) and bool(there.all()):
            return found
        found *= here[:, None] & there[None]
        return found.add_((~here)[:, None] & (~there)[None])

    def _read(self, values: Tensor) -> Tensor:
        centred = (values - self.get_buffer("mean")) / self.get_buffer("scale")
        if self.kind == "number":
            return centred * 2
        return centred if self.kind == "descriptor" else torch.nn.functional.normalize(centred, dim=1, eps=1e-9)


def sparse_cosine(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y.T`` of term vectors [n, terms]: mostly zeros, so a sparse product is several times faster."""
    if min(len(x), len(y)) <= FEW or float((x[:256] != 0).float().mean()) > DENSE_FROM:
        return x @ y.T
    left, right = sp.csr_array(x.numpy()), sp.csr_array(y.numpy())
    return torch.from_numpy((left @ right.T).toarray())


class BlockKernel(nn.Module):
    """K(i, j) = exp(sum_g w_g (mean of the blocks of group g - 1)); words and attributes are one group, ``base``.

    Args:
        widths: feature name -> width. kinds: feature name -> kind of its block.
    """

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.names = list(widths)
        self.blocks = nn.ModuleList(Block(kinds[name], widths[name]) for name in self.names)

    @property
    def groups(self) -> list[str]:
        """Group names in order; ``base`` first where there is one."""
        found = list(dict.fromkeys(group_of(name) for name in self.names))
        return sorted(found, key=lambda group: (group != "base", found.index(group)))

    def fit(self, content: Mapping[str, Features], rows: np.ndarray, matrix: sp.csr_array | None = None) -> None:
        """Fit every block on ``rows``; behaviour is not needed."""
        for name, block in self._pairs():
            block.fit(content[name], rows)

    def only(self, content: Mapping[str, Features], names: Collection[str]) -> dict[str, Features]:
        """What :meth:`means` takes if items had nothing but the features ``names``: the other blocks are left out."""
        return {name: content[name] for name in names}

    def share(self, names: Collection[str], weights: Mapping[str, float]) -> float:
        """How much of the kernel's whole weight the features ``names`` carry, in (0, 1]."""
        counts = Counter(group_of(name) for name in self.names)

        def carried(some: Iterable[str]) -> float:
            return sum(weights.get(group_of(name), 0.0) / counts[group_of(name)] for name in some)

        return carried(names) / carried(self.names)

    def effective_weights(self, names: Collection[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        """``weights``, or 1 for groups that had none beside the others and are now alone."""
        groups = dict.fromkeys(group_of(name) for name in self.names if name in names)
        return weights if any(weights.get(group) for group in groups) else dict.fromkeys(groups, 1.0)

    def read(
        self, content: Mapping[str, Features], rows: np.ndarray, weights: Mapping[str, float] | None = None
    ) -> Read:
        """One side of :meth:`between`: blocks of ``content``, those of groups without a weight left out."""
        names = [n for n in self.names if n in content and (weights is None or weights.get(group_of(n)))]
        return {name: block.read(content[name], rows) for name, block in self._pairs() if name in names}

    def between(self, a: Read, b: Read) -> dict[str, Tensor]:
        """Group -> mean similarity, float32 [n_a, n_b]."""
        total: dict[str, Tensor] = {}
        count: dict[str, int] = {}
        for name, block in self._pairs():
            if name not in a:
                continue
            group, found = group_of(name), block.similarity(a[name], b[name])
            total[group] = total[group].add_(found) if group in total else found
            count[group] = count.get(group, 0) + 1
        return {group: value / count[group] for group, value in total.items()}

    def means(self, content: Mapping[str, Features], a: np.ndarray, b: np.ndarray) -> dict[str, Tensor]:
        """Group -> mean similarity, over blocks of ``content``, float32 [len(a), len(b)]."""
        return self.between(self.read(content, a), self.read(content, b))

    def combine(self, means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The kernel from :meth:`means`, a copy."""
        return exponentiate(means, weights)

    def _pairs(self) -> Iterable[tuple[str, Block]]:
        return ((name, block) for name, block in zip(self.names, self.blocks) if isinstance(block, Block))


def exponentiate(means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """The kernel from group means; groups of weight 0 take no part."""
    total: Tensor | None = None
    for group, mean in means.items():
        if weights.get(group, 0.0):
            part = (mean - 1) * weights[group]
            total = part if total is None else total.add_(part)
    if total is None:
        raise ValueError("every group has weight 0")
    return total.exp_()


def group_of(name: str) -> str:
    """``image``, ``audio``, ``video`` for media features, else ``base``."""
    modality = name.partition(".")[0]
    return modality if modality in MEDIA else "base"


def kind_of(name: str, found: Features) -> str:
    """How similarity is measured: by what encoded the feature, for given vectors by what they describe."""
    if found.dim == 1:
        return "number"
    if found.identity.startswith(("tfidf", "hash")):
        return "sparse"
    return "descriptor" if group_of(name) in MEDIA else "cosine"
