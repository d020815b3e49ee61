"""Weights of a blend: searched on validation over the few candidates any member ranks high.

A cut-off metric is a noisy judge where validation is small: its best weights are then those that were lucky. The search
reads every rank instead, a hit at rank r counting 1 / (1 + (r / k)^2), begins at equal weights, and moves only for a
gain of more than one standard error over people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.data.views import EvaluationQueries
from palate.ranking.scorer import Scorer

POOL = 100
CHUNK = 256
MAX_USERS = 20_000
POSITIVES = 8192


def standardise(scores: Tensor, known: Tensor) -> Tensor:
    """Per user (score - mean) / standard deviation over the training-time items ``known`` [n]; float32 [B, N]."""
    if not len(known):
        return scores
    base = scores[:, known]
    mean, spread = base.mean(dim=1, keepdim=True), base.std(dim=1, correction=0, keepdim=True)
    return (scores - mean) / spread.clamp(min=1e-9)


def candidate_scores(
    scorers: Sequence[Scorer],
    known: Sequence[Tensor],
    held: EvaluationQueries,
    slice_items: NDArray[np.bool_],
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Standardised scores of each user's candidates: the union of all members' ``POOL`` best in the slice.

    Returns:
        scores float32 [U, C, M] (-inf beyond a user's candidates, NaN where a member has no score),
        relevant bool [U, C], and the number of relevant items in the slice int64 [U].
    """
    owners, wanted = held.relevant.owners(), held.relevant.items
    counts = np.bincount(owners[slice_items[wanted]], minlength=len(held))
    rows = np.flatnonzero(counts)
    if len(rows) > MAX_USERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_USERS, replace=False))
    allowed = slice_items if held.candidates is None else slice_items & held.candidates
    closed = torch.from_numpy(~allowed)
    able = [torch.from_numpy(scorer.scorable()) for scorer in scorers]
    pool = min(POOL, int(allowed.sum()))
    width = pool * len(scorers)
    scores = torch.full((len(rows), width, len(scorers)), -torch.inf)
    relevant = torch.zeros(len(rows), width, dtype=torch.bool)
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        users, seen, asked = held.users.take(part), held.exclude.take(part), held.relevant.take(part)
        own = [standardise(s.score(users), k) for s, k in zip(scorers, known)]
        blocked = closed.expand(len(part), -1).clone()
        blocked[torch.from_numpy(seen.owners()), torch.from_numpy(seen.items)] = True
        picks = [z.masked_fill(blocked | ~ok, -torch.inf).topk(pool, dim=1).indices for z, ok in zip(own, able)]
        union, _ = torch.cat(picks, dim=1).sort(dim=1)
        valid = torch.ones_like(union, dtype=torch.bool)
        valid[:, 1:] = union[:, 1:] != union[:, :-1]
        valid &= ~blocked.gather(1, union)
        for m, (z, ok) in enumerate(zip(own, able)):
            gathered = z.gather(1, union).masked_fill(~ok[union], torch.nan)
            scores[start : start + len(part), :, m] = gathered.masked_fill(~valid, -torch.inf)
        truth = torch.zeros(len(part), len(closed), dtype=torch.bool)
        truth[torch.from_numpy(asked.owners()), torch.from_numpy(asked.items)] = True
        relevant[start : start + len(part)] = truth.gather(1, union) & valid
    return scores, relevant, torch.from_numpy(counts[rows])


def combine(scores: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the members that have a score; [..., M] -> [...]; -inf where none has."""
    there = ~scores.isnan()
    total = (torch.nan_to_num(scores, nan=0.0, neginf=-torch.inf) * torch.where(weights > 0, weights, 0.0)).nan_to_num(
        nan=0.0, neginf=-torch.inf
    )
    mass = (there * weights).sum(-1)
    return torch.where(mass > 0, total.sum(-1) / mass.clamp(min=1e-12), -torch.inf)


def soft_metric(name: str, relevant: Tensor, counts: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from combined scores [U, C] to each person's soft ``recall@k`` or ``capped_recall@k``, float64 [U].

    Each relevant candidate counts 1 / (1 + (r / k)^2) for its rank r, at a tie the last of those tied.
    """
    kind, _, k_text = name.partition("@")
    k = int(k_text)
    denominator = (counts.clamp(max=k) if kind == "capped_recall" else counts).double()
    owners, places = relevant.nonzero(as_tuple=True)

    def value(combined: Tensor) -> Tensor:
        total = torch.zeros(len(combined), dtype=torch.float64)
        for start in range(0, len(owners), POSITIVES):
            rows, columns = owners[start : start + POSITIVES], places[start : start + POSITIVES]
            own = combined[rows, columns]
            ranks = (combined[rows] >= own[:, None]).sum(1)
            worth = (1 / (1 + (ranks / k).square())).double() * own.isfinite()
            total.index_add_(0, rows, worth)
        return total / denominator

    return value


def search_weights(scores: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[list[float], float]:
    """Coordinate ascent on the simplex from equal weights; about 10 M evaluations.

    Args:
        scores: from :func:`candidate_scores`. value: each person's value of combined scores, to be as high as possible.

    Returns:
        Weights [M] with a sum of 1, and their mean value.
    """
    m = scores.shape[-1]
    weights = torch.full((m,), 1 / m)
    best = value(combine(scores, weights))

    def clearly_better(found: Tensor) -> bool:
        gain = found - best
        return float(gain.mean()) > float(gain.std(correction=0)) / math.sqrt(len(gain))

    for step in (0.3, 0.15, 0.08, 0.04):
        improved = True
        rounds = 0
        while improved and rounds < 3:
            improved, rounds = False, rounds + 1
            for i in range(m):
                for sign in (1.0, -1.0):
                    trial = weights.clone()
                    trial[i] = max(0.0, float(trial[i]) + sign * step)
                    if float(trial.sum()) <= 0:
                        continue
                    trial = trial / trial.sum()
                    found = value(combine(scores, trial))
                    if clearly_better(found):
                        best, weights, improved = found, trial, True
    return [round(float(w), 4) for w in weights], float(best.mean())
