"""BPR by hand: whole blocks of users, the gradient in closed form, no graph of operations and no optimiser state.

A block is a sparse matrix [users, items] with two entries for each positive, itself and its negative. One product
sampled at these entries gives all scores; with the slopes of the loss as entries, one product with the items moves
the users, and one with the transpose moves the items. Nothing is gathered pair by pair, so a step costs what reading
the rows costs.
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from torch import Tensor

from palate.core.seeding import rng_for
from palate.data.sampling import PairedNegatives
from palate.data.views import TrainView


class PairSweep:
    """One epoch of stochastic gradient descent on ``-log sigmoid(u . i - u . j) + reg / 2 (u^2 + i^2 + j^2)``.

    Slopes are taken where a block starts; a row met c times moves as c single steps with their mean slope g would move
    it: ``x <- r^c x - lr g (1 - r^c) / (1 - r)`` with ``r = 1 - lr reg``. So no row overshoots, however popular.

    Args:
        train: positives; users are put into blocks at random, once.
        batch_size: positives a block, about.
        reg: weight of the penalty.
        seed: of the run; it draws the blocks.
    """

    def __init__(self, train: TrainView, batch_size: int, reg: float, seed: int) -> None:
        self.n_items, self.reg = train.n_items, reg
        order = rng_for(seed, "pair sweep").permutation(train.n_users)
        history = train.history.take(order)
        self.size = len(history.items)
        self.negatives = PairedNegatives(
            train.n_items, (history.indptr, history.items), np.flatnonzero(train.warm_items)
        )
        blocks = max(1, round(self.size / batch_size))
        cuts = np.searchsorted(history.indptr, np.linspace(0, self.size, blocks + 1)[1:-1])
        self.cuts = np.unique([0, *cuts, train.n_users])
        self.order, self.place = torch.from_numpy(order), torch.from_numpy(np.argsort(order))
        self.starts = 2 * history.indptr
        self.columns = np.repeat(history.items, 2)
        self.degrees = torch.from_numpy(history.lengths)
        wide = max(2 * self.size, len(self.cuts) * train.n_items) >= 2**31
        self.index = np.dtype(np.int64 if wide else np.int32)
        block = np.repeat(np.arange(len(self.cuts) - 1), np.diff(self.starts[self.cuts]))
        self.shift = (block * train.n_items).astype(self.index)
        self.entries = np.arange(2 * self.size, dtype=self.index)

    @torch.no_grad()
    def run(self, users: Tensor, items: Tensor, lr: float, rng: np.random.Generator) -> dict[str, float]:
        """Train one epoch.

        Args:
            users: float32 [n_users, d], changed in place.
            items: float32 [n_items, d], changed in place.
            lr: learning rate.
            rng: draws negatives and the order of blocks.

        Returns:
            ``loss``, the mean over pairs without the penalty.
        """
        device, n = items.device, self.n_items
        self.columns[1::2] = self.negatives.draw(rng)
        columns = torch.from_numpy(self.columns).to(device)
        starts = torch.from_numpy(self.starts).to(device)
        by_item, takers, entries = (part.to(device) for part in self._transposed())
        slopes = items.new_zeros(2 * self.size)
        times = by_item.diff()
        keep, gain = self._decay(int(max(times.max(), self.degrees.max())), lr, device)
        fade, rise = (part.index_select(0, self.degrees.to(device)) for part in (keep, gain))
        near = users.index_select(0, self.order.to(device))
        total = items.new_zeros(())
        for at in rng.permutation(len(self.cuts) - 1):
            low, high = self.cuts[at], self.cuts[at + 1]
            first, last = self.starts[low], self.starts[high]
            block, ptr, column = near[low:high], starts[low : high + 1] - first, columns[first:last]
            pairs = _csr(ptr, column, slopes[first:last], (high - low, n))
            scores = torch.sparse.sampled_addmm(pairs, block, items.T, beta=0.0).values()
            gap = scores[0::2] - scores[1::2]
            total += F.softplus(-gap).sum()
            slope = slopes[first:last].view(-1, 2)
            torch.sigmoid(-gap, out=slope[:, 0])
            torch.neg(slope[:, 0], out=slope[:, 1])
            up = _weighted(column, items, ptr, slopes[first:last])
            ends = by_item[at * n : (at + 1) * n + 1]
            part = slice(int(ends[0]), int(ends[-1]))
            down = _weighted(takers[part], near, ends - ends[0], slopes.index_select(0, entries[part]))
            block.mul_(fade[low:high]).addcmul_(up, rise[low:high])
            met = times[at * n : (at + 1) * n]
            items.mul_(keep.index_select(0, met)).addcmul_(down, gain.index_select(0, met))
        torch.index_select(near, 0, self.place.to(device), out=users)
        return {"loss": float(total) / max(1, self.size)}

    def _transposed(self) -> tuple[Tensor, Tensor, Tensor]:
        """All blocks by item: ends [blocks * items + 1], user and entry of each."""
        shape = (len(self.degrees), (len(self.cuts) - 1) * self.n_items)
        columns = self.columns.astype(self.index) + self.shift
        turned = sp.csr_array((self.entries, columns, self.starts.astype(self.index)), shape=shape).tocsc()
        return torch.from_numpy(turned.indptr), torch.from_numpy(turned.indices), torch.from_numpy(turned.data)

    def _decay(self, largest: int, lr: float, device: torch.device) -> tuple[Tensor, Tensor]:
        """For a row met 0, 1 .. ``largest`` times: what stays of it [largest + 1, 1], and the factor on its slopes."""
        times = torch.arange(largest + 1, dtype=torch.float32, device=device).unsqueeze(1)
        rate = lr * self.reg
        if rate == 0:
            return torch.ones_like(times), torch.full_like(times, lr)
        keep = torch.pow(1 - rate, times)
        return keep, (1 - keep) / (times.clamp(min=1) * self.reg)


def _csr(ptr: Tensor, columns: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR", UserWarning)
        return torch.sparse_csr_tensor(ptr, columns, values, shape, check_invariants=False)


def _weighted(rows: Tensor, table: Tensor, ptr: Tensor, weights: Tensor) -> Tensor:
    sums: Tensor = F.embedding_bag(rows, table, ptr, mode="sum", per_sample_weights=weights, include_last_offset=True)
    return sums
