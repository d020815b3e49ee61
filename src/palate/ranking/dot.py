"""Top-k by dot product: fast by matrix products, exact by rescoring their nominees."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import RaggedArray
from palate.core.errors import FeatureError
from palate.ranking.candidates import Candidates, IntArray, TopK, check_request, empty_lists, store_lists
from palate.ranking.selection import best, largest, order_ties

_MARGIN = 4
"""Candidates beyond k that are rescored; more make the fallback rarer, fewer make the common case cheaper."""
_CHUNKS = 2
"""Chunks whose nominees are rescored together: fewer calls, while their vectors still fit the cache."""
_BLOCK_SCORES = 1 << 24
"""Scores held at once by ``topk_dot`` (64 MiB), whatever the catalogue's size."""
_PAIRS = 1 << 16
"""User-item pairs rescored at once in the fallback."""


class ItemVectors:
    """Item vectors checked once, for many calls of :func:`topk_dot`.

    Args:
        vectors: float [N, d].

    Attributes:
        vectors: float32 [N, d].
        longest: the greatest vector length.

    Raises:
        FeatureError: not two-dimensional, or a vector is not finite (named by its row).
    """

    def __init__(self, vectors: Tensor) -> None:
        if vectors.ndim != 2:
            raise FeatureError(f"item vectors of shape {tuple(vectors.shape)} do not match (rows, dimensions)")
        self.vectors = vectors.detach().float()
        self.longest = float(_norms(self.vectors, "item").max()) if len(vectors) else 0.0


def topk_dot(
    users: Tensor,
    items: Tensor | ItemVectors,
    k: int,
    exclude: RaggedArray | None = None,
    allowed: NDArray[np.bool_] | IntArray | None = None,
    chunk: int = 128,
) -> TopK:
    """Find the k best items of each user by dot product, exactly, and bit-equal whatever users share a call.

    A matrix product rounds differently with the number of rows, and equal items may get unequal scores. So the product
    only nominates candidates; these are rescored, each pair by itself and summed in double precision, and a
    bound on the product's rounding error proves that no other item belongs in the list (if it cannot, all items within
    the bound are rescored).

    Args:
        users: float [n, d], used as float32.
        items: float [N, d] on the same device, used as float32, or :class:`ItemVectors` made once, which spares many
            small requests a pass over the catalogue.
        k: as in :func:`palate.ranking.topk.topk`.
        exclude: as in :func:`palate.ranking.topk.topk`.
        allowed: as in :func:`palate.ranking.topk.topk`.
        chunk: as in :func:`palate.ranking.topk.topk`; large catalogues get smaller blocks.

    Raises:
        FeatureError: a vector is not finite (named by its row), too long, or the dimensions differ.
        ConfigError: as in :func:`palate.ranking.topk.topk`.
    """
    bank = items if isinstance(items, ItemVectors) else ItemVectors(items)
    if users.ndim != 2 or users.shape[1] != bank.vectors.shape[1]:
        raise FeatureError(
            f"user vectors {tuple(users.shape)} and item vectors {tuple(bank.vectors.shape)} do not match",
            hint="both need the shape (rows, dimensions) with the same dimensions",
        )
    check_request(len(users), k, exclude, chunk)
    candidates = Candidates(len(bank.vectors), exclude, allowed)
    ids, scores = empty_lists(len(users), k)
    reach = min(k, candidates.width)
    if reach == 0 or len(users) == 0:
        return TopK(ids, scores)
    with torch.no_grad():
        users, pool = users.float(), bank.vectors
        doubt = _rounding_bound(_norms(users, "user"), bank.longest, users.shape[1])
        if candidates.allowed is not None:
            pool = pool[torch.as_tensor(candidates.allowed, device=pool.device)]
        chunk = max(1, min(chunk, _BLOCK_SCORES // len(pool), len(users)))
        buffer = users.new_empty(chunk, len(pool))
        nominees = min(reach + _MARGIN, len(pool))
        for start in range(0, len(users), chunk * _CHUNKS):
            group = np.arange(start, min(start + chunk * _CHUNKS, len(users)))
            members = users[start : start + len(group)]
            nominated = []
            for low in range(0, len(group), chunk):
                part = members[low : low + chunk]
                block = torch.mm(part, pool.T, out=buffer[: len(part)])
                nominated.append(largest(candidates.mask(block, group[low : low + chunk], own=True), nominees))
            rough, columns = (torch.cat(pieces) for pieces in zip(*nominated, strict=True))
            # an item that was not nominated has a rough score of at most the lowest nominee's
            lowest = rough.amin(dim=1).double()
            values, columns = _best_nominees(members, pool, rough, columns)
            values, columns = values[:, :reach].contiguous(), columns[:, :reach].contiguous()
            border, off = values[:, -1].double(), doubt[start : start + len(group)]
            unproven = (lowest > -torch.inf) & (border <= lowest + off)
            if nominees < len(pool) and bool(unproven.any()):
                for rows in unproven.nonzero().squeeze(1).split(max(1, _BLOCK_SCORES // (16 * len(pool)))):
                    block = candidates.mask(members[rows] @ pool.T, group[rows.cpu().numpy()], own=True)
                    values[rows], columns[rows] = _settle(members[rows], pool, block, border[rows] - off[rows], reach)
            store_lists(ids, scores, start, values, candidates.items(columns))
    return TopK(ids, scores)


def _best_nominees(users: Tensor, items: Tensor, rough: Tensor, columns: Tensor) -> tuple[Tensor, Tensor]:
    """Exact scores of the nominated ``columns`` [B, c], in order; -inf stays -inf."""
    pairs = items.index_select(0, columns.flatten()).view(*columns.shape, -1)
    exact = _dot(users.unsqueeze(1), pairs).masked_fill_(rough == -torch.inf, -torch.inf)
    exact, order = exact.sort(dim=1, descending=True)
    return order_ties(exact, columns.gather(1, order))


def _settle(users: Tensor, items: Tensor, block: Tensor, least: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The best k of all items whose rough score in ``block`` [R, N] reaches ``least`` [R]; each row has at least k."""
    # A user at the origin scores exactly 0 everywhere: all items are tied, and there is nothing to rescore.
    values, columns = best(block + 0.0, k)
    away = (users != 0).any(dim=1).nonzero().squeeze(1)
    if len(away):
        near = block[away] >= least[away].unsqueeze(1)
        values[away], columns[away] = _rescore(users[away], items, near, k)
    return values, columns


def _rescore(users: Tensor, items: Tensor, near: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The best k among the marked pairs ``near`` [R, N], of which each row has at least k."""
    row, column = near.nonzero(as_tuple=True)
    exact = torch.cat([_dot(users[r], items[c]) for r, c in zip(row.split(_PAIRS), column.split(_PAIRS), strict=True)])
    order = exact.argsort(descending=True, stable=True)
    order = order[row[order].argsort(stable=True)]
    ends = near.sum(dim=1).cumsum(0)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]])
    picked = order[starts.unsqueeze(1) + torch.arange(k, device=ends.device)]
    return exact[picked], column[picked]


def _dot(left: Tensor, right: Tensor) -> Tensor:
    """float32 dot products over the last dimension, each independent of its neighbours."""
    # Adding 0 turns -0 into 0, so that equal scores are equal bits.
    dots: Tensor = (left * right).sum(dim=-1, dtype=torch.float64).float() + 0.0
    return dots


def _norms(vectors: Tensor, kind: str) -> Tensor:
    """float64 [n]: the vectors' lengths, refusing the first one that is not finite."""
    # In pieces, because the norm in double precision copies its input.
    pieces = [torch.linalg.vector_norm(part, dim=1, dtype=torch.float64) for part in vectors.split(_PAIRS)]
    norms = torch.cat(pieces)
    bad = (~norms.isfinite()).nonzero()
    if len(bad):
        raise FeatureError(
            f"the {kind} vector is not finite", row=int(bad[0]) + 1, hint="training may have diverged: lower the rate"
        )
    return norms


def _rounding_bound(users: Tensor, item: float, dim: int) -> Tensor:
    """Bound of the rounding error of a float32 product in any summation order, float64 [n], against the rescored pair.

    The classical bound of a dot product's rounding, dim * 2^-24 * |u| |v|, doubled to cover the second score's rounding
    and products too small for float32. ``users`` are lengths [n], ``item`` is the greatest length of an item vector.
    """
    longest = users * item
    if bool((longest > 1e37).any()):
        raise FeatureError("scores would overflow float32", hint="scale the vectors down")
    # Reduced-precision products (TF32, bfloat16) are a global choice of the caller's.
    factor = 2.0**-24 if torch.get_float32_matmul_precision() == "highest" else 2.0**-8
    bound: Tensor = longest * (2 * factor + (dim + 2) * 2.0**-23) + dim * 2.0**-120
    return bound
