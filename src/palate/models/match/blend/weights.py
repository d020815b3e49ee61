"""Weights of a blend, searched on validation over the candidates that any member ranks high.

A cut-off metric is noisy where validation is small: its best weights are then due to chance. The search therefore reads
every rank, a hit at rank r counting 1 / (1 + (r / k)^2). It begins at the best single member and gives, step by step,
a share to the member that adds most (ensemble selection after Caruana et al., ICML 2004), then goes back towards the
single member by (standard error / gain)^2, as a James-Stein estimator does. Our own: the shares, and going back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from palate.core.progress import progress

Value = Callable[[Tensor], Tensor]
"""From combined scores [U, C] to each user's value, float64 [U]: the higher the better."""

POSITIVE_BLOCK = 8192
SHARES = (0.5, 0.25, 0.1)
"""Shares that a step gives to a member."""
MAX_STEPS = 20


def soft_metric(name: str, relevant: Tensor, counts: Tensor) -> Value:
    """A function from combined scores [U, C] to each user's soft ``recall@k`` or ``capped_recall@k``, float64 [U].

    Each relevant candidate counts 1 / (1 + (r / k)^2) for its rank r, at a tie the last of those tied.

    Args:
        name: ``recall@k`` or ``capped_recall@k``.
        relevant: bool [U, C].
        counts: int64 [U], relevant items of each user.
    """
    return _by_rank(name, relevant, counts, lambda ranks, k: 1 / (1 + (ranks / k).square()), last_of_tied=True)


def list_metric(name: str, relevant: Tensor, counts: Tensor) -> Value:
    """The metric itself, as lists give it: at a tie the earlier candidate comes first.

    Args:
        name: ``recall@k`` or ``capped_recall@k``.
        relevant: bool [U, C].
        counts: int64 [U], relevant items of each user.
    """
    return _by_rank(name, relevant, counts, lambda ranks, k: (ranks <= k).float(), last_of_tied=False)


def search_weights(scores: Tensor, value: Value) -> tuple[Tensor, float]:
    """Weights that begin at the best single member and give shares to members that add to it.

    Args:
        scores: float32 [U, C, M], see :class:`palate.models.match.blend.candidates.Candidates`.
        value: what to maximise the mean of.

    Returns:
        Weights float32 [M] with a sum of 1, and their mean value.
    """
    members = range(scores.shape[-1])
    inside = ~(scores == -torch.inf).all(-1)
    has = [~scores[..., m].isnan() & inside for m in members]
    z = [torch.where(has[m], scores[..., m], 0.0) for m in members]

    def of(total: Tensor, mass: Tensor) -> Tensor:
        return value(torch.where(mass > 0, total / mass.clamp(min=1e-12), -torch.inf))

    alone = [of(z[m], has[m].float()) for m in members]
    first = max(members, key=lambda m: float(alone[m].mean()))
    single = torch.nn.functional.one_hot(torch.tensor(first), len(members)).float()
    weights, total, mass, best = single, z[first], has[first].float(), alone[first]
    with progress("weights: giving shares to members", None) as advance:
        for _ in range(MAX_STEPS):
            tried = [
                (of((1 - share) * total + share * z[m], (1 - share) * mass + share * has[m]), m, share)
                for m in members
                for share in SHARES
            ]
            advance(1)
            found, m, share = max(tried, key=lambda one: float(one[0].mean()))
            if float(found.mean()) <= float(best.mean()):
                break
            best, total, mass = found, (1 - share) * total + share * z[m], (1 - share) * mass + share * has[m]
            weights = (1 - share) * weights
            weights[m] += share
    kept = shrinkage(best - alone[first])
    weights = kept * weights + (1 - kept) * single
    total, mass = torch.zeros_like(z[0]), torch.zeros_like(z[0])
    for m, weight in enumerate(weights.tolist()):
        total, mass = total + weight * z[m], mass + weight * has[m]
    mixed = of(total, mass)
    return weights, float(mixed.mean())


def shrinkage(gains: Tensor) -> float:
    """Share of a change to keep: 1 - (standard error / mean)^2 of what users gain by it, not below 0.

    Args:
        gains: float64 [U], of each user.
    """
    gain, error = float(gains.mean()), float(gains.std(correction=0)) / math.sqrt(max(len(gains), 1))
    return max(0.0, 1 - (error / gain) ** 2) if gain > 0 else 0.0


def rounded(weights: Sequence[float] | Tensor) -> list[float]:
    """Weights with four digits.

    Args:
        weights: [M].
    """
    return [round(float(weight), 4) for weight in weights]


def _by_rank(
    name: str, relevant: Tensor, counts: Tensor, worth: Callable[[Tensor, int], Tensor], last_of_tied: bool
) -> Value:
    """Sum over relevant candidates of ``worth`` (rank, k), divided as ``name`` asks."""
    kind, _, k_text = name.partition("@")
    k = int(k_text)
    denominator = (counts.clamp(max=k) if kind == "capped_recall" else counts).double()
    owners, places = relevant.nonzero(as_tuple=True)

    def value(combined: Tensor) -> Tensor:
        total = torch.zeros(len(combined), dtype=torch.float64)
        for start in range(0, len(owners), POSITIVE_BLOCK):
            rows, columns = owners[start : start + POSITIVE_BLOCK], places[start : start + POSITIVE_BLOCK]
            own = combined[rows, columns]
            others = combined[rows]
            ranks = (others >= own[:, None]).sum(1)
            if not last_of_tied:
                later = torch.arange(others.shape[1]) > columns[:, None]
                ranks -= ((others == own[:, None]) & later).sum(1)
            total.index_add_(0, rows, worth(ranks, k).double() * own.isfinite())
        return total / denominator

    return value
