"""What ratings say: how often one system is preferred to another, with an interval, and how far raters agree."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palate.core.errors import DataError
from palate.evaluation.rating.pairs import RatingPair
from palate.evaluation.rating.ratings import Rating
from palate.metrics.bootstrap import mean_interval


@dataclass(frozen=True)
class WinRate:
    """One system against another.

    Attributes:
        system: the one whose rate it is.
        other: the other one.
        wins: ratings that prefer the system.
        losses: ratings that prefer the other one.
        ties: ratings that prefer neither.
        pairs: pairs that were rated.
        rate: share of wins, a tie counting half; each pair counts the same, whatever the number of its raters.
        low: lower end of its interval, resampled over pairs; nan for a single pair.
        high: upper end.
        p_value: two-sided sign test over the pairs that are not tied on the whole.
        left: share of ratings, ties apart, that prefer what was shown on the left; nan where that is not known.
    """

    system: str
    other: str
    wins: int
    losses: int
    ties: int
    pairs: int
    rate: float
    low: float
    high: float
    p_value: float
    left: float


@dataclass(frozen=True)
class Agreement:
    """How far raters agree.

    Attributes:
        alpha: Krippendorff's alpha for nominal values; nan without a pair that two people rated.
        same: share of pairs of ratings of one pair that are the same; nan likewise.
        pairs: pairs that at least two people rated.
        raters: people who rated.
    """

    alpha: float
    same: float
    pairs: int
    raters: int


def win_rates(
    pairs: Sequence[RatingPair], ratings: Sequence[Rating], confidence: float = 0.95, seed: int = 0
) -> list[WinRate]:
    """Every two systems that were compared.

    Args:
        pairs: what was rated.
        ratings: the answers.
        confidence: of the intervals.
        seed: of the resampling.

    Raises:
        DataError: if there are no ratings.
    """
    if not ratings:
        raise DataError("nothing was rated yet")
    by_id = {pair.id: pair for pair in pairs}
    found: dict[tuple[str, str], list[Rating]] = {}
    for rating in ratings:
        pair = by_id[rating.pair]
        first, second = sorted((pair.system_a, pair.system_b))
        found.setdefault((first, second), []).append(rating)
    return [_win_rate(by_id, names, each, confidence, seed) for names, each in sorted(found.items())]


def agreement(ratings: Sequence[Rating]) -> Agreement:
    """How far raters agree.

    Args:
        ratings: the answers, one of a person for a pair at most.
    """
    units: dict[str, list[str]] = {}
    for rating in ratings:
        units.setdefault(rating.pair, []).append(rating.choice)
    several = [values for values in units.values() if len(values) > 1]
    same = [
        sum(n * (n - 1) for n in Counter(values).values()) / (len(values) * (len(values) - 1)) for values in several
    ]
    alpha = krippendorff_alpha(several)
    mean = float(np.mean(same)) if same else math.nan
    return Agreement(alpha, mean, len(several), len({one.rater for one in ratings}))


def krippendorff_alpha(units: Sequence[Sequence[Hashable]]) -> float:
    """Krippendorff's alpha for nominal values: 1 - observed / expected disagreement.

    Args:
        units: values that were given to each unit, of any number.

    Returns:
        1 for agreement, 0 for what chance gives; nan where no unit has two values, or all values are the same.
    """
    several = [Counter(values) for values in units if len(values) > 1]
    totals: Counter[Hashable] = Counter()
    for counts in several:
        totals.update(counts)
    n = totals.total()
    observed = sum(
        (counts.total() ** 2 - sum(count**2 for count in counts.values())) / (counts.total() - 1) for counts in several
    )
    expected = n**2 - sum(count**2 for count in totals.values())
    return 1 - (n - 1) * observed / expected if expected else math.nan


def _win_rate(
    pairs: Mapping[str, RatingPair], names: tuple[str, str], ratings: Sequence[Rating], confidence: float, seed: int
) -> WinRate:
    from scipy.stats import binomtest

    system, other = names
    values: dict[str, list[float]] = {}
    for rating in ratings:
        chosen = {"a": pairs[rating.pair].system_a, "b": pairs[rating.pair].system_b}.get(rating.choice)
        values.setdefault(rating.pair, []).append(0.5 if chosen is None else float(chosen == system))
    every = [value for each in values.values() for value in each]
    means = np.array([np.mean(each) for each in values.values()])
    rate, low, high = float(means.mean()), math.nan, math.nan
    if len(means) > 1:
        _, low, high = mean_interval(means, confidence=confidence, seed=seed)
    above, below = int((means > 0.5).sum()), int((means < 0.5).sum())
    p_value = float(binomtest(above, above + below).pvalue) if above + below else 1.0
    sided = [one.choice == one.left for one in ratings if one.left in ("a", "b") and one.choice != "tie"]
    left = float(np.mean(sided)) if sided else math.nan
    wins, losses = every.count(1.0), every.count(0.0)
    return WinRate(system, other, wins, losses, every.count(0.5), len(means), rate, low, high, p_value, left)
