"""Weights of a blend: searched on validation over the few candidates any member ranks high.

The metric alone is a noisy judge where validation is small: its best weights are then those that were lucky. The search
begins at the best of one member alone, all alike, and the weights under which chosen items are most likely (a smooth
and convex fit that reads every rank), and moves only for a gain of more than one standard error over people.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.scorer import Scorer
from palate.data.views import Held

POOL = 100
CHUNK = 256
MAX_USERS = 20_000
LIKELY_USERS = 4096


def standardise(scores: Tensor, known: Tensor) -> Tensor:
    """Per user (score - mean) / standard deviation over the training-time items ``known`` [n]; float32 [B, N]."""
    if not len(known):
        return scores
    base = scores[:, known]
    mean, spread = base.mean(dim=1, keepdim=True), base.std(dim=1, correction=0, keepdim=True)
    return (scores - mean) / spread.clamp(min=1e-9)


def candidate_scores(
    scorers: Sequence[Scorer], known: Sequence[Tensor], held: Held, slice_items: NDArray[np.bool_], seed: int = 0
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


def metric_of(name: str, relevant: Tensor, counts: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from combined scores [U, C] to each person's ``recall@k`` or ``capped_recall@k``, float64 [U]."""
    kind, _, k_text = name.partition("@")
    k = int(k_text)
    denominator = counts.clamp(max=k) if kind == "capped_recall" else counts

    def value(combined: Tensor) -> Tensor:
        best = combined.topk(min(k, combined.shape[1]), dim=1)
        hits = (relevant.gather(1, best.indices) & best.values.isfinite()).sum(1)
        return (hits / denominator).double()

    return value


def likely_weights(scores: Tensor, relevant: Tensor, steps: int = 60) -> Tensor:
    """Weights [M] >= 0, sum 1, of the softmax over candidates that gives relevant ones the highest likelihood.

    A member without a score for a candidate counts as its average item there.
    """
    rows = torch.nonzero(relevant.any(1)).squeeze(1)[:LIKELY_USERS]
    m = scores.shape[-1]
    if not len(rows):
        return torch.full((m,), 1 / m)
    given, true = scores[rows], relevant[rows]
    closed = given.isneginf().all(-1)
    given = torch.nan_to_num(given, nan=0.0, neginf=0.0)
    scale = torch.full((m,), 1 / m).requires_grad_()
    optimiser = torch.optim.Adam([scale], lr=0.05)
    for _ in range(steps):
        optimiser.zero_grad()
        logits = (given @ scale).masked_fill(closed, -torch.inf)
        (-torch.log_softmax(logits, dim=1)[true].mean()).backward()
        optimiser.step()
        with torch.no_grad():
            scale.clamp_(min=0.0)
    found = scale.detach()
    return found / found.sum() if float(found.sum()) > 0 else torch.full((m,), 1 / m)


def search_weights(scores: Tensor, relevant: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[list[float], float]:
    """Coordinate ascent on the simplex from the best of corners, centre and likeliest; about 10 M evaluations."""
    m = scores.shape[-1]
    weights = likely_weights(scores, relevant)
    best = value(combine(scores, weights))

    def clearly_better(found: Tensor) -> bool:
        gain = found - best
        return float(gain.mean()) > float(gain.std(correction=0)) / math.sqrt(len(gain))

    for start in [*torch.eye(m), torch.full((m,), 1 / m)]:
        found = value(combine(scores, start))
        if float(found.mean()) > float(best.mean()):
            best, weights = found, start
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
