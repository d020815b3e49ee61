"""Penalties on the embeddings of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.core.errors import DataError


def l2_rows(*rows: Tensor) -> Tensor:
    """``1/2 sum_k mean_b ||rows_k[b]||^2``: half the squared norm, averaged over rows, added over arguments.

    The convention of LightGCN and most multimodal code (squared, per row); papers that use the unsquared norm of the
    whole batch (EmbLoss of RecBole) need another weight.

    Data: any.
    Relations: unlike weight decay it touches only the rows of the batch, so rare entities shrink less.

    Args:
        *rows: looked-up embeddings, each [B, ...] (users [B, d], positives [B, d], negatives [B, n, d] ...). An entity
            that occurs twice in the batch counts twice, as in BPR's own regulariser.

    Raises:
        DataError: no embeddings are given.

    Examples:
        >>> float(l2_rows(torch.tensor([[3.0, 4.0], [0.0, 1.0]])))
        6.5
    """
    if not rows:
        raise DataError("nothing to regularise")
    total = rows[0].square().sum() / len(rows[0])
    for row in rows[1:]:
        total = total + row.square().sum() / len(row)
    return total / 2


def norm_rows(*rows: Tensor) -> Tensor:
    """``sum_k ||rows_k||_F / B``: plain (unsquared) norms of whole batches, divided by the rows of the last one.

    RecBole's and MMRec's "EmbLoss". Its gradient on an entry ``x`` is ``x / (||rows||_F B)``: it does not grow with the
    embeddings, so the same weight restrains far less than in :func:`l2_rows`.

    Data: any.
    Relations: see :func:`l2_rows`, the squared form.

    Args:
        *rows: looked-up embeddings, each [B, ...]; an entity that occurs twice counts twice.

    Raises:
        DataError: no embeddings are given.

    Examples:
        >>> float(norm_rows(torch.tensor([[3.0, 4.0], [0.0, 0.0]])))
        2.5
    """
    if not rows:
        raise DataError("nothing to regularise")
    total: Tensor = torch.linalg.vector_norm(rows[0])
    for row in rows[1:]:
        total = total + torch.linalg.vector_norm(row)
    return total / len(rows[-1])
