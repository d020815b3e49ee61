"""Standardised scores of the items that any member of a blend ranks high, by slice of the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.progress import track
from palate.data.views import EvaluationQueries
from palate.ranking.scorer import Scorer

POOL = 100
"""Candidates that a member contributes for a user and a slice."""
USER_BLOCK = 256
MAX_USERS = 10_000


@dataclass(frozen=True)
class Candidates:
    """Candidates of U users in one slice of the catalogue.

    Attributes:
        scores: standardised, float32 [U, C, M]; -inf beyond a user's candidates, NaN where a member has no score.
        relevant: bool [U, C].
        counts: int64 [U], relevant items of the slice, candidates or not.
    """

    scores: Tensor
    relevant: Tensor
    counts: Tensor

    def of_users_with_relevant(self) -> Candidates:
        """The users who have a relevant item in the slice."""
        rows = self.counts > 0
        return self if bool(rows.all()) else Candidates(self.scores[rows], self.relevant[rows], self.counts[rows])


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
    slices: Sequence[NDArray[np.bool_]],
    seed: int = 0,
) -> list[Candidates]:
    """Standardised scores of each user's candidates: in each slice the union of all members' ``POOL`` best.

    Args:
        scorers: the M members.
        known: int64 items of each member over which its scores are standardised.
        held: validation queries; at most ``MAX_USERS`` are drawn.
        slices: bool [n_items] each, parts of the catalogue.
        seed: of the draw.

    Returns:
        Candidates of the same users in each slice.
    """
    rows = np.flatnonzero(held.relevant.lengths)
    if len(rows) > MAX_USERS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAX_USERS, replace=False))
    allowed = np.ones(scorers[0].n_items, bool) if held.candidates is None else held.candidates
    closed = [torch.from_numpy(~(part & allowed)) for part in slices]
    able = [torch.from_numpy(scorer.scorable()) for scorer in scorers]
    blocks: list[list[tuple[Tensor, Tensor]]] = [[] for _ in slices]
    for start in track(range(0, len(rows), USER_BLOCK), "weights: scoring blocks of validation users"):
        part = rows[start : start + USER_BLOCK]
        users, seen, answers = held.users.take(part), held.exclude.take(part), held.relevant.take(part)
        own = [standardise(s.score(users), k) for s, k in zip(scorers, known)]
        taken = torch.zeros(len(part), len(allowed), dtype=torch.bool)
        taken[torch.from_numpy(seen.owners()), torch.from_numpy(seen.items)] = True
        truth = torch.zeros_like(taken)
        truth[torch.from_numpy(answers.owners()), torch.from_numpy(answers.items)] = True
        for place, outside in enumerate(closed):
            blocks[place].append(_block(own, able, taken | outside, truth, int((~outside).sum())))
    owners, items = held.relevant.take(rows).owners(), held.relevant.take(rows).items
    counts = [torch.from_numpy(np.bincount(owners[part[items]], minlength=len(rows))) for part in slices]
    return [Candidates(*_joined(found, len(scorers)), count) for found, count in zip(blocks, counts)]


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


def _block(
    own: Sequence[Tensor], able: Sequence[Tensor], blocked: Tensor, truth: Tensor, size: int
) -> tuple[Tensor, Tensor]:
    """Scores [B, C, M] and relevance [B, C] of one block of users; ``size`` is the number of items in the slice."""
    pool = min(POOL, size)
    picks = [z.masked_fill(blocked | ~ok, -torch.inf).topk(pool, dim=1).indices for z, ok in zip(own, able)]
    union, _ = torch.cat(picks, dim=1).sort(dim=1)
    valid = ~blocked.gather(1, union)
    valid[:, 1:] &= union[:, 1:] != union[:, :-1]
    width = int(valid.sum(1).max()) if valid.numel() else 0
    front = valid.int().sort(dim=1, descending=True, stable=True).indices[:, :width]
    union, valid = union.gather(1, front), valid.gather(1, front)
    columns = [z.gather(1, union).masked_fill(~ok[union], torch.nan) for z, ok in zip(own, able)]
    scores = torch.stack(columns, dim=-1).masked_fill(~valid[..., None], -torch.inf)
    return scores, truth.gather(1, union) & valid


def _joined(blocks: Sequence[tuple[Tensor, Tensor]], members: int) -> tuple[Tensor, Tensor]:
    """Blocks of different widths as one."""
    users, width = sum(len(relevant) for _, relevant in blocks), max((r.shape[1] for _, r in blocks), default=0)
    scores = torch.full((users, width, members), -torch.inf)
    found = torch.zeros(users, width, dtype=torch.bool)
    start = 0
    for part, relevant in blocks:
        scores[start : start + len(part), : part.shape[1]] = part
        found[start : start + len(part), : part.shape[1]] = relevant
        start += len(part)
    return scores, found
