"""Paired bootstrap over users for the difference between two systems, corrected for many comparisons."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError
from palate.core.seeding import rng_for

Floats = NDArray[np.float64]
Values = ArrayLike | Sequence[Floats]

_DRAWS = 1 << 21
"""Resampled users in memory at once (16 MiB of values), whatever users x resamples is."""
_REPEATS = 16
"""From this many users per distinct difference on, drawing counts is cheaper than drawing users."""


@dataclass(frozen=True)
class PairedResult:
    """Comparison of system a with system b on the same users.

    Attributes:
        mean_a: mean over users (over draws of the means, if stratified) of system a.
        mean_b: likewise, of system b.
        difference: a minus b.
        low: lower end of the percentile interval of the difference.
        high: upper end of the percentile interval of the difference.
        confidence: of the interval.
        p_value: two-sided, of a difference this large if the true one were 0.
        n_users: users compared, over all draws.
        n_draws: draws (strata) that the users come from.
        resamples: bootstrap samples.
        p_adjusted: the p-value after Holm's correction; None for a single comparison.
    """

    mean_a: float
    mean_b: float
    difference: float
    low: float
    high: float
    confidence: float
    p_value: float
    n_users: int
    n_draws: int
    resamples: int
    p_adjusted: float | None = None


def compare_paired(
    a: Values, b: Values, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> PairedResult:
    """Compare two systems by a paired bootstrap (Efron and Tibshirani 1993) of the mean difference of a metric.

    Users are resampled, since they are the source of variation; seeds of one system on the same users are not more
    users.

    Args:
        a: values of system a by user, as one of

            - float [n]: one run each;
            - float [s, n]: s seeds on the same users, first averaged per user (the systems may differ in s);
            - a list of float [n_i]: draws (splits, worlds) with users of their own. Users are resampled within their
              draw, and the statistic is the mean of the draws' means.
        b: values of system b for the same users in the same order.
        resamples: bootstrap samples.
        confidence: of the interval, in (0, 1).
        seed: of the resampling.

    Returns:
        The difference, its percentile interval, and the two-sided p-value (1 + #{|d* - d| >= |d|}) / (resamples + 1).

    Raises:
        DataError: the systems have different users, or a value is not finite.
        ConfigError: resamples or confidence out of range.
    """
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise ConfigError(f"resamples {resamples}, confidence {confidence}", hint="at least 1, and inside (0, 1)")
    draws_a, draws_b = _draws(a, "a"), _draws(b, "b")
    sizes_a, sizes_b = [len(x) for x in draws_a], [len(x) for x in draws_b]
    if sizes_a != sizes_b:
        raise DataError(f"users per draw differ: {sizes_a} and {sizes_b}", hint="compare on the same users")
    differences = [x - y for x, y in zip(draws_a, draws_b, strict=True)]
    difference = float(np.mean([d.mean() for d in differences]))
    # shifted by the observed mean, the resampled means are the null distribution and the interval at once
    shifts = np.zeros(resamples)
    for index, values in enumerate(differences):
        shifts += resampled_means(values - values.mean(), resamples, seed, index) / len(differences)
    # rounding must not turn a tie with the observed difference into a smaller one
    extreme = int((np.abs(shifts) >= abs(difference) * (1.0 - 1e-12)).sum())
    low, high = difference + np.quantile(shifts, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return PairedResult(
        mean_a=float(np.mean([x.mean() for x in draws_a])),
        mean_b=float(np.mean([x.mean() for x in draws_b])),
        difference=difference,
        low=float(low),
        high=float(high),
        confidence=confidence,
        p_value=(1 + extreme) / (resamples + 1),
        n_users=sum(sizes_a),
        n_draws=len(differences),
        resamples=resamples,
    )


def compare_all(
    baseline: Values, others: Mapping[str, Values], resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> dict[str, PairedResult]:
    """Compare each of ``others`` (as a) with ``baseline`` (as b), with Holm's correction over all of them.

    Args:
        baseline: values by user, as in :func:`compare_paired`.
        others: name -> values by user.
        resamples: bootstrap samples.
        confidence: of the intervals, in (0, 1).
        seed: of the resampling.

    Raises:
        DataError: the systems have different users, or a value is not finite.
        ConfigError: resamples or confidence out of range.
    """
    results = {name: compare_paired(a, baseline, resamples, confidence, seed) for name, a in others.items()}
    adjusted = holm([result.p_value for result in results.values()])
    return {
        name: replace(result, p_adjusted=float(p)) for (name, result), p in zip(results.items(), adjusted, strict=True)
    }


def mean_interval(
    values: Values, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """Mean and percentile interval of one system's values by user.

    Args:
        values: as in :func:`compare_paired`.
        resamples: bootstrap samples.
        confidence: of the interval, in (0, 1).
        seed: of the resampling.

    Returns:
        (mean, low, high).

    Raises:
        DataError: there are no users, or a value is not finite.
        ConfigError: resamples or confidence out of range.
    """
    zeros = [np.zeros(len(x)) for x in _draws(values, "values")]
    result = compare_paired(_draws(values, "values"), zeros, resamples, confidence, seed)
    return result.difference, result.low, result.high


def holm(p_values: ArrayLike) -> Floats:
    """Adjust p-values by Holm's (1979) method: rejecting those of at most alpha bounds the family-wise error by alpha.

    The i-th smallest of m is multiplied by m - i + 1; values never fall below a smaller one's, nor exceed 1.

    Args:
        p_values: [m].

    Returns:
        float64 [m], in the order given.

    Raises:
        DataError: a p-value lies outside [0, 1].
    """
    p = np.asarray(p_values, np.float64)
    if p.ndim != 1 or not bool(((p >= 0) & (p <= 1)).all()):
        raise DataError("p-values must be a list of numbers in [0, 1]", key="p_values")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def resampled_means(values: Floats, resamples: int, seed: int, name: object = 0) -> Floats:
    """Means of samples drawn with replacement.

    Memory is bounded whatever ``len(values) * resamples`` is. Where values repeat a lot (hit rates, few distinct
    recalls), the counts of the distinct values are drawn instead: the same distribution, and faster.

    Args:
        values: float64 [n].
        resamples: number of samples of n values.
        seed: of the draws.
        name: of the random stream.

    Returns:
        float64 [resamples].
    """
    rng = rng_for(seed, "bootstrap", name)
    means = np.empty(resamples)
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    by_counts = len(distinct) * _REPEATS <= n
    for start, end in _pieces(resamples, len(distinct) if by_counts else n):
        if by_counts:
            means[start:end] = rng.multinomial(n, counts / n, size=end - start) @ distinct / n
        else:
            means[start:end] = values[rng.integers(0, n, (end - start, n), dtype=np.int32)].mean(axis=1)
    return means


def _pieces(total: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, _DRAWS // width)
    for start in range(0, total, step):
        yield start, min(start + step, total)


def _draws(values: Values, name: str) -> list[Floats]:
    """One float64 [n] per draw."""
    if isinstance(values, list | tuple) and all(np.ndim(x) == 1 for x in values):
        draws = [np.asarray(x, np.float64) for x in values]
    else:
        array = np.asarray(values, np.float64)
        if array.ndim not in (1, 2):
            raise DataError(f"values of shape {array.shape}", key=name, hint="[users] or [seeds, users]")
        draws = [array if array.ndim == 1 else array.mean(axis=0)]
    if not draws or any(len(draw) == 0 for draw in draws):
        raise DataError("there are no users", key=name)
    if not all(bool(np.isfinite(draw).all()) for draw in draws):
        raise DataError("a per-user value is not finite", key=name, hint="leave out users that cannot be judged")
    return draws
