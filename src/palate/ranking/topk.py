"""Exact top-k over a catalogue, chunk by chunk, without the full score matrix; ties go to the lowest item."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import RaggedArray
from palate.core.errors import DataError
from palate.ranking.candidates import Candidates, IntArray, TopK, check_request, empty_lists, store_lists
from palate.ranking.selection import best

ScoreBlock = Callable[[IntArray], Tensor]


def topk(
    score_block: ScoreBlock,
    n_rows: int,
    k: int,
    exclude: RaggedArray | None = None,
    allowed: NDArray[np.bool_] | IntArray | None = None,
    chunk: int = 128,
) -> TopK:
    """Find the k best items of each row by (score descending, item ascending), exactly.

    Args:
        score_block: given row numbers int64 [B], returns scores [B, N] of all items. They are compared as float32; an
            item with the score -inf is not a candidate. The tensor is never written to.
        n_rows: number of rows; blocks are requested in order, each row once.
        k: list length, at least 1; it may exceed N.
        exclude: per row, items that may not appear (``n_rows`` lists).
        allowed: the only items that may appear, as bool [N] or as item rows.
        chunk: rows per block. 64 to 256 keeps a block inside the CPU cache.

    Raises:
        DataError: a candidate's score is NaN, or a score block has the wrong shape.
        ConfigError: k, chunk, exclude or allowed cannot be used.
    """
    check_request(n_rows, k, exclude, chunk)
    ids, scores = empty_lists(n_rows, k)
    candidates: Candidates | None = None
    n_items = 0
    with torch.no_grad():
        for start in range(0, n_rows, chunk):
            rows = np.arange(start, min(start + chunk, n_rows), dtype=np.int64)
            block = score_block(rows)
            if candidates is None:
                n_items = block.shape[-1]
                candidates = Candidates(n_items, exclude, allowed)
            if block.shape != (len(rows), n_items):
                raise DataError(
                    f"a score block for {len(rows)} rows has shape {tuple(block.shape)}",
                    row=start + 1,
                    hint=f"return one score per row and item: ({len(rows)}, {n_items})",
                )
            reach = min(k, candidates.width)
            if reach == 0:
                continue
            block = candidates.mask(candidates.narrow(block).float(), rows, own=False)
            values, columns = best(block, reach)
            _refuse_nan(values, start)
            store_lists(ids, scores, start, values, candidates.items(columns))
    return TopK(ids, scores)


def _refuse_nan(values: Tensor, start: int) -> None:
    # the selection ranks NaN above everything, so a NaN of a row is always its first value
    bad = values[:, 0].isnan().nonzero()
    if len(bad):
        raise DataError(
            "a score is NaN", row=start + int(bad[0]) + 1, hint="training may have diverged: lower the rate"
        )
