"""Weights of a blend, searched on validation over the candidates that any member ranks high.

A cut-off metric is noisy where validation is small: its best weights are then due to chance. The search reads every
rank instead, a hit at rank r counting 1 / (1 + (r / k)^2), begins at equal weights, and moves only for a gain of more
than one standard error over users.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.context import RunContext
from palate.data.views import EvaluationQueries
from palate.ranking.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView

MIN_POSITIVES = 30
"""Validation positives of a slice below which its weights stay equal."""
POOL = 100
"""Candidates that a member contributes for a user."""
USER_BLOCK = 256
MAX_USERS = 20_000
POSITIVE_BLOCK = 8192
STEPS = (0.3, 0.15, 0.08, 0.04)
MAX_ROUNDS = 3


def standardise(scores: Tensor, known: Tensor) -> Tensor:
    """Per user (score - mean) / standard deviation, float32 [B, N].

    Args:
        scores: float32 [B, N].
        known: int64 [n], items over which mean and deviation are taken; without any, scores stay as they are.
    """
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

    Args:
        scorers: the M members.
        known: int64 items of each member over which its scores are standardised.
        held: validation queries; at most ``MAX_USERS`` are drawn.
        slice_items: bool [n_items], the slice: warm or cold items.
        seed: of the draw.

    Returns:
        Scores float32 [U, C, M] (-inf beyond a user's candidates, NaN where a member has no score),
        relevant bool [U, C], and the number of relevant items in the slice int64 [U].
    """
    owners, relevant_items = held.relevant.owners(), held.relevant.items
    counts = np.bincount(owners[slice_items[relevant_items]], minlength=len(held))
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
    for start in range(0, len(rows), USER_BLOCK):
        part = rows[start : start + USER_BLOCK]
        users, seen, answers = held.users.take(part), held.exclude.take(part), held.relevant.take(part)
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
        truth[torch.from_numpy(answers.owners()), torch.from_numpy(answers.items)] = True
        relevant[start : start + len(part)] = truth.gather(1, union) & valid
    return scores, relevant, torch.from_numpy(counts[rows])


def combine(scores: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the members that have a score, [...]; -inf where none has.

    Args:
        scores: [..., M], NaN where a member has no score.
        weights: [M].
    """
    scored = ~scores.isnan()
    total = (torch.nan_to_num(scores, nan=0.0, neginf=-torch.inf) * torch.where(weights > 0, weights, 0.0)).nan_to_num(
        nan=0.0, neginf=-torch.inf
    )
    mass = (scored * weights).sum(-1)
    return torch.where(mass > 0, total.sum(-1) / mass.clamp(min=1e-12), -torch.inf)


def soft_metric(name: str, relevant: Tensor, counts: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from combined scores [U, C] to each user's soft ``recall@k`` or ``capped_recall@k``, float64 [U].

    Each relevant candidate counts 1 / (1 + (r / k)^2) for its rank r, at a tie the last of those tied.

    Args:
        name: ``recall@k`` or ``capped_recall@k``.
        relevant: bool [U, C].
        counts: int64 [U], relevant items of each user.
    """
    kind, _, k_text = name.partition("@")
    k = int(k_text)
    denominator = (counts.clamp(max=k) if kind == "capped_recall" else counts).double()
    owners, places = relevant.nonzero(as_tuple=True)

    def value(combined: Tensor) -> Tensor:
        total = torch.zeros(len(combined), dtype=torch.float64)
        for start in range(0, len(owners), POSITIVE_BLOCK):
            rows, columns = owners[start : start + POSITIVE_BLOCK], places[start : start + POSITIVE_BLOCK]
            own = combined[rows, columns]
            ranks = (combined[rows] >= own[:, None]).sum(1)
            worth = (1 / (1 + (ranks / k).square())).double() * own.isfinite()
            total.index_add_(0, rows, worth)
        return total / denominator

    return value


def search_weights(scores: Tensor, value: Callable[[Tensor], Tensor]) -> tuple[list[float], float]:
    """Coordinate ascent on the simplex from equal weights; about 10 M evaluations.

    Args:
        scores: from :func:`candidate_scores`.
        value: combined scores [U, C] -> value for each user [U], the higher the better.

    Returns:
        Weights [M] with a sum of 1, and their mean value.
    """
    m = scores.shape[-1]
    weights = torch.full((m,), 1 / m)
    best = value(combine(scores, weights))

    def clearly_better(values: Tensor) -> bool:
        gain = values - best
        return float(gain.mean()) > float(gain.std(correction=0)) / math.sqrt(len(gain))

    for step in STEPS:
        improved = True
        rounds = 0
        while improved and rounds < MAX_ROUNDS:
            improved, rounds = False, rounds + 1
            for i in range(m):
                for sign in (1.0, -1.0):
                    trial = weights.clone()
                    trial[i] = max(0.0, float(trial[i]) + sign * step)
                    if float(trial.sum()) <= 0:
                        continue
                    trial = trial / trial.sum()
                    values = value(combine(scores, trial))
                    if clearly_better(values):
                        best, weights, improved = values, trial, True
    return [round(float(w), 4) for w in weights], float(best.mean())


def weights_by_slice(
    scorers: Sequence[Scorer],
    known: Sequence[Tensor],
    train: TrainView,
    run: RunContext,
    given: Mapping[str, Sequence[float] | None],
) -> dict[str, list[float]]:
    """Weights of the members for ``warm`` and for ``cold`` items, searched on validation unless given.

    Args:
        scorers: the M members.
        known: int64 items of each member over which its scores are standardised.
        train: all that training may see, with the validation queries.
        run: seed and metric.
        given: slice -> weights [M], or None to search.
    """
    weights = {}
    for part, items in (("warm", train.warm_items), ("cold", ~train.warm_items)):
        fixed = given[part]
        weights[part] = list(fixed or [1.0 / len(scorers)] * len(scorers))
        if fixed is not None or train.valid is None:
            continue
        if items[train.valid.relevant.items].sum() < MIN_POSITIVES:
            continue
        scores, relevant, counts = candidate_scores(scorers, known, train.valid, items, run.seed)
        weights[part], _ = search_weights(scores, soft_metric(run.metric, relevant, counts))
    return weights
