"""Tables of users and items: creating them, and fast reading of their rows on a CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.batch import PairBatch


def node_rows(table: Tensor, batch: PairBatch, n_users: int) -> tuple[Tensor, ...]:
    """Rows of users, positives and (each column of) negatives from one table of users followed by items.

    One gather for all of them: its backward writes one dense gradient, where indexing ``table[rows]`` would scatter
    row by row several times.

    Args:
        table: [n_users + n_items, d].
        batch: users, positives and negatives.
        n_users: rows of the table that are users.

    Returns:
        Users [B, d], positives [B, d], then one [B, d] for each negative.
    """
    parts = [batch.users, batch.items + n_users, *(batch.negatives + n_users).unbind(1)]
    gathered: tuple[Tensor, ...] = F.embedding(torch.cat(parts), table).split(len(batch))
    return gathered


def xavier_tables(n_users: int, n_items: int, dim: int) -> nn.Parameter:
    """One table [n_users + n_items, dim], users first, each part Xavier-uniform by its own size.

    Args:
        n_users: number of users.
        n_items: number of items.
        dim: width.
    """
    users, items = torch.empty(n_users, dim), torch.empty(n_items, dim)
    for part in (users, items):
        nn.init.xavier_uniform_(part)
    return nn.Parameter(torch.cat([users, items]))


def byte_dropout(x: Tensor, p: float) -> Tensor:
    """Dropout with ``p`` rounded to 1/256, from one random byte an entry: several times faster than ``bernoulli``.

    Kept entries are divided by the exact share kept, so the expectation is ``x``. Draws from torch's own generator.

    Args:
        x: any shape.
        p: probability that an entry is dropped.
    """
    cut = round(p * 256)
    if cut == 0:
        return x
    words = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
    keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= cut
    return x * keep * (256 / (256 - cut))
