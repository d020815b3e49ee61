"""Groups of items, learnt from content and behaviour, in place of categories that a catalogue lacks.

    M = E[C(i, j) f(i) f(j)^T],  f the whitened directions of content,  z = V sqrt(e) f over the leading (e, V) of M
    group(i) = nearest of k-means' centres to z(i)

M is the least-squares metric that predicts from content which items are taken together; its negative eigenvalues are
noise and show how large a positive one must be. There is one group more than there are such directions. Our own choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from palate.core.content import Features
from palate.models.match.content_kernel.directions import Directions, pair_moment
from palate.models.match.shared.columns import Rows

GROUPS = 32
"""Groups at most."""
WHITENED = 200
"""Leading directions of content at most."""
CLEAR = 4.0
"""How many times the largest noise an eigenvalue has to be."""
RESTARTS = 5


class LearnedGroups(nn.Module):
    """The groups of the module's formula.

    Args:
        widths: feature name -> width.
        kinds: feature name -> kind of its block.
    """

    def __init__(self, widths: Mapping[str, int], kinds: Mapping[str, str]) -> None:
        super().__init__()
        self.directions = Directions(widths, kinds)
        self.register_buffer("project", torch.zeros(self.directions.count, GROUPS - 1))
        self.register_buffer("centres", torch.full((GROUPS, GROUPS - 1), torch.inf))

    @property
    def count(self) -> int:
        """Number of groups, 0 where behaviour shows none."""
        return int(self.get_buffer("centres")[:, 0].isfinite().sum())

    def fit(
        self,
        content: Mapping[str, Features],
        rows: Rows,
        share: NDArray[np.float64],
        together: tuple[Rows, Rows, NDArray[np.float64]],
    ) -> None:
        """Find the groups.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items to fit on.
            share: [n], weight of each item; they sum to 1.
            together: pairs of places in ``rows`` and C, weighted by both items.
        """
        self.get_buffer("centres").fill_(torch.inf)
        if not self.directions.names:
            return
        self.directions.fit_blocks(content, rows)
        phi = self.directions.read(content, rows).double()
        counted = torch.from_numpy(share)[:, None] * phi
        values, vectors = torch.linalg.eigh(phi.T @ counted)
        values, vectors = values.flip(0)[:WHITENED], vectors.flip(1)[:, :WHITENED]
        kept = values > 1e-6 * values[0].clamp(min=1e-12)
        whiten = vectors[:, kept] / values[kept].sqrt()
        white = phi @ whiten
        mean = counted.sum(0) @ whiten
        metric = pair_moment(white, *together) - together[2].sum() * mean[:, None] * mean
        e, v = torch.linalg.eigh((metric + metric.T) / 2)
        clear = e > CLEAR * float(-e[0].clamp(max=0))
        e, v = e[clear].flip(0)[: GROUPS - 1], v[:, clear].flip(1)[:, : GROUPS - 1]
        if not len(e):
            return
        project = whiten @ (v * e.sqrt())
        project = project / (phi @ project).square().sum(1).mean().sqrt()
        if not bool(project.isfinite().all()):
            return
        self.get_buffer("project").zero_()[:, : len(e)] = project.float()
        from scipy.cluster.vq import kmeans2

        places = (phi @ project).numpy()
        described = self._described(content, rows)
        # no more groups than places: items that are all alike are one
        groups = min(len(e) + 1, len(np.unique(places[described].round(6), axis=0)))
        if groups < 2:
            return
        runs = [kmeans2(places[described], groups, minit="++", iter=50, rng=seed) for seed in range(RESTARTS)]
        centres, _ = min(runs, key=lambda run: float(((places[described] - run[0][run[1]]) ** 2).sum()))
        self.get_buffer("centres")[: len(centres)] = 0.0
        self.get_buffer("centres")[: len(centres), : len(e)] = torch.from_numpy(centres).float()

    def read(self, content: Mapping[str, Features], rows: Rows) -> tuple[Tensor, Tensor]:
        """Groups of items.

        Args:
            content: feature name -> vectors of all items.
            rows: int64 [n], items.

        Returns:
            One-hot groups float32 [n, GROUPS], and bool [n], whether an item has any content. Without groups every row
            is zero and every item counts as having content, so that no two items are alike by what they lack.
        """
        out = torch.zeros(len(rows), GROUPS)
        if not self.count:
            return out, torch.ones(len(rows), dtype=torch.bool)
        described = torch.from_numpy(self._described(content, rows))
        z = self.directions.read(content, rows) @ self.get_buffer("project")
        nearest = torch.cdist(z, self.get_buffer("centres")[: self.count]).argmin(1)
        out[torch.arange(len(rows)), nearest] = 1.0
        return out * described[:, None], described

    def _described(self, content: Mapping[str, Features], rows: Rows) -> NDArray[np.bool_]:
        masks = [content[name].present[rows] for name in self.directions.names]
        return np.any(masks, axis=0) if masks else np.zeros(len(rows), bool)
