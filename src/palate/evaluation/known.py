"""Models that know nothing of the candidates: their lists are in random order."""

from __future__ import annotations

KNOWN = "candidates_known"
"""Key of :attr:`palate.contracts.Judgement.about`: share of the candidates that the model has scores for."""
RANDOM = "random: knows none of the candidates"


def is_random(known: float | None) -> bool:
    """Whether lists are in random order, because the model has no score for any candidate.

    Args:
        known: share of the candidates that the model has scores for, None if nobody counted.
    """
    return known == 0
