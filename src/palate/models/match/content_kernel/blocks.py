"""Kernels over content blocks: one similarity a column or modality, averaged, then exponentiated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from palate.core.content import Features
from palate.models.match.shared.columns import Rows

MEDIA = ("image", "audio", "video")
DENSE_FROM = 0.03
"""Share of non-zero entries above which a dense product is faster."""
MAX_DENSE_ROWS = 64
"""With up to as many rows on a side a dense product is faster than making the other side sparse."""

NETWORKS = ("efficientnet_lite0", "conse")
"""Beginnings of the identities of encoders of media whose distances say less than angles: they have many columns."""

PreparedItems = dict[str, tuple[Tensor, Tensor]]
"""Feature name -> prepared vectors and mask of some items."""


class Block(nn.Module):
    """Similarity of items by one feature, with statistics of the items seen in fitting.

    Text, attributes and vectors of ``NETWORKS``: cosine after centring dense vectors (tf-idf rows are not centred).
    Numbers: exp(-1/2 ((x - x') / (sd / 2))^2). Other pictures, sound, video: exp(-d^2 / median d^2) on standardised
    columns. Two items that both lack the feature are alike (1); one that lacks it and one that has it are not (0).

    Args:
        kind: ``number``, ``descriptor``, ``sparse`` or ``cosine``, see :func:`kind_of`.
        width: of the feature.
    """

    def __init__(self, kind: str, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("spread", torch.ones(1))

    def fit(self, features: Features, rows: Rows) -> None:
        """Take statistics over items that have the feature.

        Args:
            features: of all items.
            rows: int64 [n], items to fit on.
        """
        values = torch.from_numpy(features.values[rows[features.present[rows]]].astype(np.float32))
        if len(values) < 2:
            return
        if self.kind != "sparse":
            self.get_buffer("mean").copy_(values.mean(0))
        if self.kind in ("number", "descriptor"):
            self.get_buffer("scale").copy_(values.std(0).clamp(min=1e-6))
        if self.kind == "descriptor":
            sample = self._read(values[torch.linspace(0, len(values) - 1, min(len(values), 500)).long()])
            distances = torch.cdist(sample, sample)[~torch.eye(len(sample), dtype=torch.bool)].square()
            self.get_buffer("spread").copy_(distances.median().clamp(min=1e-6))

    def read(self, features: Features, rows: Rows) -> tuple[Tensor, Tensor]:
        """Prepare items.

        Args:
            features: of all items.
            rows: int64 [n], items.

        Returns:
            Vectors float32 [n, d] and mask bool [n].
        """
        values = self._read(torch.from_numpy(features.values[rows].astype(np.float32)))
        return values, torch.from_numpy(features.present[rows])

    def similarity(self, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
        """Similarity of two sets of items, float32 [n_a, n_b].

        Args:
            a: items, from :meth:`read`.
            b: items, from :meth:`read`.
        """
        (x, x_present), (y, y_present) = a, b
        if self.kind in ("number", "descriptor"):
            out = (x.square().sum(1)[:, None] + y.square().sum(1)[None] - 2 * x @ y.T).clamp_(min=0)
            out = out.div_(-2.0 if self.kind == "number" else -self.get_buffer("spread")).exp_()
        else:
            out = sparse_cosine(x, y) if self.kind == "sparse" else x @ y.T
        if bool(x_present.all()) and bool(y_present.all()):
            return out
        out *= x_present[:, None] & y_present[None]
        return out.add_((~x_present)[:, None] & (~y_present)[None])

    def _read(self, values: Tensor) -> Tensor:
        centred = (values - self.get_buffer("mean")) / self.get_buffer("scale")
        if self.kind == "number":
            return centred * 2
        return centred if self.kind == "descriptor" else torch.nn.functional.normalize(centred, dim=1, eps=1e-9)


def sparse_cosine(x: Tensor, y: Tensor) -> Tensor:
    """``x @ y.T`` of term vectors, which are mostly zero: a sparse product is several times faster.

    Args:
        x: float32 [n_x, terms], unit rows.
        y: float32 [n_y, terms], unit rows.
    """
    if min(len(x), len(y)) <= MAX_DENSE_ROWS or float((x[:256] != 0).float().mean()) > DENSE_FROM:
        return x @ y.T
    left, right = sp.csr_array(x.numpy()), sp.csr_array(y.numpy())
    return torch.from_numpy((left @ right.T).toarray())


class BlockKernel(nn.Module):
    """K(i, j) = exp(sum_g w_g (mean of the blocks of group g - 1)); words and attributes are one group, ``base``.

    Args:
        widths: feature name -> width.
        kinds: feature name -> kind of its block.
    """

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.names = list(widths)
        self.blocks = nn.ModuleList(Block(kinds[name], widths[name]) for name in self.names)

    @property
    def groups(self) -> list[str]:
        """Group names in order; ``base`` first where there is one."""
        names = list(dict.fromkeys(group_of(name) for name in self.names))
        return sorted(names, key=lambda group: (group != "base", names.index(group)))

    def fit(self, content: Mapping[str, Features], rows: Rows, matrix: sp.csr_array | None = None) -> None:
        """Fit every block.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items to fit on.
            matrix: histories over all items; not read.
        """
        for name, block in self._pairs():
            block.fit(content[name], rows)

    def keep_only(self, content: Mapping[str, Features], names: Collection[str]) -> dict[str, Features]:
        """Content of items as if they had nothing but some features: the other blocks are left out.

        Args:
            content: feature name -> vectors.
            names: features to keep.
        """
        return {name: content[name] for name in names}

    def weight_share(self, names: Collection[str], weights: Mapping[str, float]) -> float:
        """Share of the kernel's total weight that some features carry, in (0, 1].

        Args:
            names: these features.
            weights: group -> weight.
        """
        counts = Counter(group_of(name) for name in self.names)

        def weight(features: Iterable[str]) -> float:
            return sum(weights.get(group_of(name), 0.0) / counts[group_of(name)] for name in features)

        return weight(names) / weight(self.names)

    def effective_weights(self, names: Collection[str], weights: Mapping[str, float]) -> Mapping[str, float]:
        """Weights of groups where items have only some features.

        Args:
            names: the features that items have.
            weights: group -> weight where items have all features.

        Returns:
            ``weights``; or 1 for every group that is left, where none of these has a weight.
        """
        groups = dict.fromkeys(group_of(name) for name in self.names if name in names)
        return weights if any(weights.get(group) for group in groups) else dict.fromkeys(groups, 1.0)

    def read(
        self, content: Mapping[str, Features], rows: Rows, weights: Mapping[str, float] | None = None
    ) -> PreparedItems:
        """Prepare items for :meth:`between`.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items.
            weights: group -> weight; groups without one are left out.
        """
        names = [n for n in self.names if n in content and (weights is None or weights.get(group_of(n)))]
        return {name: block.read(content[name], rows) for name, block in self._pairs() if name in names}

    def between(self, a: PreparedItems, b: PreparedItems) -> dict[str, Tensor]:
        """Group -> mean similarity, float32 [n_a, n_b].

        Args:
            a: items, from :meth:`read`.
            b: items, from :meth:`read`.
        """
        total: dict[str, Tensor] = {}
        count: dict[str, int] = {}
        for name, block in self._pairs():
            if name not in a:
                continue
            group, similarity = group_of(name), block.similarity(a[name], b[name])
            total[group] = total[group].add_(similarity) if group in total else similarity
            count[group] = count.get(group, 0) + 1
        return {group: value / count[group] for group, value in total.items()}

    def means(self, content: Mapping[str, Features], a: Rows, b: Rows) -> dict[str, Tensor]:
        """Group -> mean similarity, float32 [len(a), len(b)].

        Args:
            content: feature name -> vectors of all items; other features are left out.
            a: int64 [n_a], items.
            b: int64 [n_b], items.
        """
        return self.between(self.read(content, a), self.read(content, b))

    def combine(self, means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
        """The kernel, float32 [n_a, n_b], a new tensor.

        Args:
            means: from :meth:`means` or :meth:`between`.
            weights: group -> weight.
        """
        return exponentiate(means, weights)

    def _pairs(self) -> Iterable[tuple[str, Block]]:
        return ((name, block) for name, block in zip(self.names, self.blocks) if isinstance(block, Block))


def exponentiate(means: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """exp(sum_g w_g (mean of group g - 1)), float32 [n_a, n_b].

    Args:
        means: group -> mean similarity.
        weights: group -> weight; groups without one take no part.

    Raises:
        ValueError: if no group has a weight.
    """
    total: Tensor | None = None
    for group, mean in means.items():
        if weights.get(group, 0.0):
            part = (mean - 1) * weights[group]
            total = part if total is None else total.add_(part)
    if total is None:
        raise ValueError("every group has weight 0")
    return total.exp_()


def group_of(name: str) -> str:
    """Group of a feature: ``image``, ``audio`` or ``video``, else ``base``.

    Args:
        name: of the feature, modality first.
    """
    modality = name.partition(".")[0]
    return modality if modality in MEDIA else "base"


def kind_of(name: str, features: Features) -> str:
    """How similarity by a feature is measured, see :class:`Block`.

    Args:
        name: of the feature, modality first.
        features: their encoder decides; for given vectors, the modality does.
    """
    if features.dim == 1:
        return "number"
    if features.identity.startswith(("tfidf", "hash")):
        return "sparse"
    if features.identity.startswith(NETWORKS):
        return "cosine"
    return "descriptor" if group_of(name) in MEDIA else "cosine"
