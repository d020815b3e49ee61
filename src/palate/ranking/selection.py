"""The best columns of each row of a score block, with ties decided by the lowest column."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

_BLOCK = 8
"""Columns per block. Small, because recursion makes the number of block maxima small anyway."""
_FIRST_PIECE = 1024
"""Columns in which ties at the border are looked for first."""
_LOW_BITS = (1 << 29) - 1
_BEYOND = 2.0**130
"""Stands for infinity (twice as much for NaN), whose own low bits mean something: larger than any float32."""


def largest(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` largest values of each row, in any order; *which* of equal values are taken is left open.

    Exact: the k best values lie in the k blocks with the best maxima, because every other block holds at most values
    that k blocks already reach. Blocks are strided (columns j, j + m, j + 2m, ...), so their maxima are ``_BLOCK``
    contiguous element-wise maxima, and the maxima themselves are searched the same way.

    Args:
        scores: float32 [B, N]. A NaN counts as larger than everything.
        k: 0 < k <= N.

    Returns:
        values [B, k] and columns int64 [B, k].
    """
    n = scores.shape[1]
    m = n // _BLOCK
    if n < 2 * _BLOCK * k:
        return _pick(scores, k)
    maxima = scores[:, : m * _BLOCK].unflatten(1, (_BLOCK, m)).amax(dim=1)
    blocks = largest(maxima, k)[1]
    offsets = torch.arange(_BLOCK, device=scores.device) * m
    columns = (blocks.unsqueeze(2) + offsets).flatten(1)
    if m * _BLOCK < n:
        tail = torch.arange(m * _BLOCK, n, device=scores.device)
        columns = torch.cat([columns, tail.expand(len(scores), -1)], dim=1)
    values, order = _pick(scores.gather(1, columns), k)
    return values, columns.gather(1, order)


def _pick(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    n = values.shape[1]
    if k == n:
        return values.clone(), torch.arange(n, device=values.device).expand(len(values), n)
    if values.device.type != "cpu":
        best_k = values.topk(k, dim=1, sorted=False)
        return best_k.values, best_k.indices
    # A float32 leaves the low 29 bits of a float64 free. With the column written there, NumPy's vectorised partition
    # of values finds positions too: five times faster than torch.topk or argpartition on rows this short.
    keys = values.double().nan_to_num_(nan=2 * _BEYOND, posinf=_BEYOND, neginf=-_BEYOND)
    keys.view(torch.int64).bitwise_or_(torch.arange(n))
    part = np.partition(keys.numpy(), n - k, axis=1)[:, n - k :]
    columns = torch.from_numpy(part.view(np.int64) & _LOW_BITS)
    return values.gather(1, columns), columns


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the ``k`` best columns of each row by (score descending, column ascending).

    Args:
        scores: float32 [B, N].
        k: 0 < k <= N.

    Returns:
        values [B, k] and columns int64 [B, k]. Where fewer than k scores are above -inf, the rest of the row is -inf
        and its columns are arbitrary. A row that holds NaN has NaN as its first value; the rest of it has no meaning.
    """
    reach = min(k + 1, scores.shape[1])
    values, columns = largest(scores, reach)
    values, order = values.sort(dim=1, descending=True)
    columns = columns.gather(1, order)
    if reach > k:
        # An equal value just outside means that the choice at the border was arbitrary.
        torn = (values[:, k] == values[:, k - 1]) & (values[:, k] > -torch.inf)
        values, columns = values[:, :k], columns[:, :k]
        rows = (torn & ~values[:, 0].isnan()).nonzero().squeeze(1)
        if len(rows):
            values, columns = values.clone(), columns.clone()
            columns[rows] = _settle_border(scores, rows, values[rows], columns[rows])
            values[rows] = scores[rows.unsqueeze(1), columns[rows]]
    return order_ties(values, columns)


def _settle_border(scores: Tensor, rows: Tensor, values: Tensor, columns: Tensor) -> Tensor:
    """``columns`` [R, k] of ``rows`` [R], where those that only equal the last value become the lowest such columns.

    Values above the last one are in the list already. The rest is read from the left in growing pieces, so that
    the many ties of counts cost few columns and rare ones a single pass.

    Args:
        scores: [B, N].
        rows: int64 [R].
        values: [R, k], falling; the scores of ``columns``.
        columns: int64 [R, k].
    """
    k = columns.shape[1]
    border = values[:, -1:]
    filled = (values > border).sum(dim=1)
    short = torch.arange(len(rows), device=scores.device)
    start, width = 0, _FIRST_PIECE
    while len(short):
        equal = scores[:, start : start + width][rows[short]] == border[short]
        cells = _true_cells(equal)
        row, column = cells // equal.shape[1], cells % equal.shape[1]
        counts = torch.bincount(row, minlength=len(short))
        place = filled[short][row] + torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
        fits = place < k
        columns[short[row[fits]], place[fits]] = column[fits] + start
        filled[short] += counts
        short = short[filled[short] < k]
        start, width = start + width, 2 * width
    return columns


def _true_cells(mask: Tensor) -> Tensor:
    """Flat positions of True entries, ascending."""
    flat = mask.flatten()
    if flat.device.type != "cpu":
        return flat.nonzero().squeeze(1)
    return torch.from_numpy(np.flatnonzero(flat.numpy()))  # several times faster than torch.nonzero


def order_ties(values: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Sort each row by (value descending, column ascending).

    Args:
        values: [B, k].
        columns: int64 [B, k].

    Returns:
        Both, sorted.
    """
    if values.shape[1] < 2:
        return values, columns
    falling = (values[:, 1:] < values[:, :-1]).all(dim=1)
    rows = (~falling).nonzero().squeeze(1)
    if len(rows):
        values, columns = values.clone(), columns.clone()
        by_column, order = columns[rows].sort(dim=1)
        by_value, second = values[rows].gather(1, order).sort(dim=1, descending=True, stable=True)
        values[rows], columns[rows] = by_value, by_column.gather(1, second)
    return values, columns
