"""What a blend chooses on validation: weights for warm and for cold items, and how the two compete in one list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from palate.core.context import RunContext
from palate.models.match.blend.candidates import Candidates, candidate_scores, combine
from palate.models.match.blend.weights import list_metric, rounded, search_weights, soft_metric
from palate.ranking.scorer import Scorer

if TYPE_CHECKING:
    from palate.data.views import TrainView

MIN_POSITIVES = 30
"""Validation positives of a slice below which its weights are not searched."""
OFFSETS = (0.0, -0.5, -1.0, -2.0, -4.0, 0.5, 1.0)
BELOW = -1000.0
"""An offset that puts cold items below all others."""
STAY = (1.0, 0.75, 0.5, 0.25, 0.0)
"""Shares of the searched weights that are tried where one member alone is better; the rest is that member's."""


@dataclass(frozen=True)
class Weights:
    """Weights of M members.

    Attributes:
        warm: [M], for items with behaviour.
        cold: [M], for items that were in the catalogue without behaviour, and for new ones.
        offset: added to the standardised score of items that were in the catalogue without behaviour.
        validation: member (``blend`` for the whole) -> the metric on the candidates; empty where nothing was searched.
    """

    warm: list[float]
    cold: list[float]
    offset: float = 0.0
    validation: dict[str, float] = field(default_factory=dict)


def choose_weights(
    scorers: Sequence[Scorer],
    names: Sequence[str],
    known: Sequence[Tensor],
    train: TrainView,
    run: RunContext,
    warm: Sequence[float] | None,
    cold: Sequence[float] | None,
    offset: float | None,
) -> Weights:
    """Weights that on validation are at least as good as any single member; what is given is kept.

    Slices with fewer than ``MIN_POSITIVES`` validation positives have equal weights, and so has everything without
    validation.

    Args:
        scorers: the M members.
        names: of the members.
        known: int64 items of each member over which its scores are standardised.
        train: all that training may see, with the validation queries.
        run: seed and metric.
        warm: weights [M] for items with behaviour, or None to search.
        cold: weights [M] for items without, or None to search.
        offset: of cold items, or None to search.
    """
    equal = [1.0 / len(scorers)] * len(scorers)
    if train.valid is None or (warm is not None and cold is not None and offset is not None):
        return Weights(list(warm or equal), list(cold or equal), offset or 0.0)
    slices = [train.warm_items, ~train.warm_items]
    with torch.inference_mode():
        parts = candidate_scores(scorers, known, train.valid, slices, run.seed)
        high, low = (
            list(w) if w is not None else _searched(part, run.metric) or equal for w, part in zip((warm, cold), parts)
        )
        contest = _Contest(parts, run.metric)
        both = bool(contest.relevant[:, : contest.width].any()) and parts[1].scores.shape[1] > 0
        own = offset if offset is not None else contest.best_offset(high, low) if both else 0.0
        if warm is None and cold is None and offset is None:
            high, low, own = contest.not_below_members(high, low, own, both)
        values = {name: contest.value_of_member(m) for m, name in enumerate(names)}
        values["blend"] = contest.value(high, low, own)
    return Weights(rounded(high), rounded(low), own, values)


def _searched(part: Candidates, metric: str) -> list[float] | None:
    """Weights for one slice; None where validation says too little about it."""
    if int(part.relevant.sum()) < MIN_POSITIVES:
        return None
    asked = part.of_users_with_relevant()
    return rounded(search_weights(asked.scores, soft_metric(metric, asked.relevant, asked.counts))[0])


class _Contest:
    """Warm and cold candidates in one list.

    Args:
        parts: warm and cold candidates of the same users.
        metric: ``recall@k`` or ``capped_recall@k``.
    """

    def __init__(self, parts: Sequence[Candidates], metric: str) -> None:
        self.parts, self.width = parts, parts[0].scores.shape[1]
        self.relevant = torch.cat([part.relevant for part in parts], dim=1)
        counts = parts[0].counts + parts[1].counts
        self.soft, self.hard = (make(metric, self.relevant, counts) for make in (soft_metric, list_metric))

    def value(self, warm: Sequence[float], cold: Sequence[float], offset: float) -> float:
        """The mean of the metric."""
        return float(self.hard(self._combined(warm, cold, offset)).mean())

    def value_of_member(self, m: int) -> float:
        """The mean of the metric of one member alone."""
        alone = self._one(m)
        return self.value(alone, alone, 0.0)

    def best_offset(self, warm: Sequence[float], cold: Sequence[float]) -> float:
        """The offset of cold items with the best soft metric, the first of equals."""
        return max(OFFSETS, key=lambda offset: float(self.soft(self._combined(warm, cold, offset)).mean()))

    def not_below_members(
        self, warm: Sequence[float], cold: Sequence[float], offset: float, both: bool
    ) -> tuple[list[float], list[float], float]:
        """The weights given, or the nearest mixture with the best member that is not below it."""
        members = range(len(warm))
        best = max(members, key=self.value_of_member)
        floor, alone = self.value_of_member(best), self._one(best)
        if self.value(warm, cold, offset) >= floor:
            return list(warm), list(cold), offset
        scores_cold = not bool(self.parts[1].scores[..., best].isnan().all())
        last = (alone, alone, 0.0) if scores_cold else (alone, list(cold), BELOW)
        for share in STAY:
            tried = rounded([share * w + (1 - share) * one for w, one in zip(warm, alone)])
            mixed = (
                rounded([share * w + (1 - share) * one for w, one in zip(cold, alone)]) if scores_cold else list(cold)
            )
            own = self.best_offset(tried, mixed) if both else 0.0
            if self.value(tried, mixed, own) >= floor:
                return tried, mixed, own
        return last

    def _one(self, m: int) -> list[float]:
        return [float(place == m) for place in range(self.parts[0].scores.shape[2])]

    def _combined(self, warm: Sequence[float], cold: Sequence[float], offset: float) -> Tensor:
        low = combine(self.parts[1].scores, torch.tensor(cold)) + offset
        return torch.cat([combine(self.parts[0].scores, torch.tensor(warm)), low], dim=1)
