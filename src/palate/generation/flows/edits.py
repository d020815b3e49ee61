"""How much of a proposed text a person changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from palate.core.errors import MissingDependencyError


@dataclass(frozen=True)
class Edits:
    """What was changed between a proposal and a final text.

    Attributes:
        distance: characters inserted, deleted or replaced, at least (Levenshtein).
        similarity: 1 - distance / length of the longer text.
        words_kept: share of the proposal's words that the final text has; 1 for an empty proposal.
    """

    distance: int
    similarity: float
    words_kept: float


def edits_between(proposed: str, final: str) -> Edits:
    """Compare a final text with what was proposed.

    Args:
        proposed: the text before.
        final: the text after.

    Raises:
        MissingDependencyError: if rapidfuzz is not installed.
    """
    try:
        from rapidfuzz.distance import Levenshtein
    except ImportError:
        raise MissingDependencyError("rapidfuzz", "generate") from None
    distance, longest = Levenshtein.distance(proposed, final), max(len(proposed), len(final))
    before, after = Counter(proposed.split()), Counter(final.split())
    kept = (before & after).total() / before.total() if before else 1.0
    return Edits(distance, 1.0 - distance / longest if longest else 1.0, kept)
