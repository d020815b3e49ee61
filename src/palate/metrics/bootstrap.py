"""The difference between two systems on the same users: interval, p-value, and correction for many comparisons.

One run of each is compared by a paired bootstrap over users; several seeds, splits or worlds by a t-test whose standard
error counts these as well (:mod:`palate.metrics.variance`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.core.errors import ConfigError, DataError
from palate.core.seeding import rng_for
from palate.metrics.variance import StandardError, crossed_error, nested_error

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
        mean_a: mean over users (over draws of the means, if there are several) of system a.
        mean_b: likewise, of system b.
        difference: a minus b.
        low: lower end of the interval of the difference.
        high: upper end of the interval of the difference.
        confidence: of the interval.
        p_value: two-sided, of a difference this large if the true one were 0.
        n_users: users compared, over all draws.
        n_draws: draws (splits, worlds) that the users come from.
        n_seeds: trainings that the interval counts; 1 says that another seed was not looked at.
        freedom: degrees of freedom of the t-interval; None for a bootstrap.
        resamples: bootstrap samples; 0 for a t-interval.
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
    n_seeds: int
    freedom: float | None
    resamples: int
    p_adjusted: float | None = None


def compare_paired(
    a: Values, b: Values, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> PairedResult:
    """Compare two systems on the mean of a metric.

    Args:
        a: values of system a by user, as one of

            - float [n]: one run;
            - float [s, n]: s training seeds on the same users (the systems may differ in s);
            - a list of float [n_i]: draws (splits, worlds) with users and a training of their own. The statistic is the
              mean of the draws' means.
        b: values of system b for the same users in the same order.
        resamples: bootstrap samples, where there is one run of each.
        confidence: of the interval, in (0, 1).
        seed: of the resampling.

    Returns:
        The difference, its interval and two-sided p-value: for one run of each the percentile interval over resampled
        users (Efron and Tibshirani 1993) and (1 + #{|d* - d| >= |d|}) / (resamples + 1); otherwise those of Student's t
        with the standard error of :func:`palate.metrics.variance.crossed_error` (seeds) or ``nested_error`` (draws).

    Raises:
        DataError: the systems have different users, or a value is not finite.
        ConfigError: resamples or confidence out of range.
    """
    if resamples < 1 or not 0.0 < confidence < 1.0:
        raise ConfigError(f"resamples {resamples}, confidence {confidence}", hint="at least 1, and inside (0, 1)")
    draws_a, draws_b = _draws(a, "a"), _draws(b, "b")
    sizes_a, sizes_b = [x.shape[1] for x in draws_a], [x.shape[1] for x in draws_b]
    if sizes_a != sizes_b:
        raise DataError(f"users per draw differ: {sizes_a} and {sizes_b}", hint="compare on the same users")
    differences = [x.mean(axis=0) - y.mean(axis=0) for x, y in zip(draws_a, draws_b, strict=True)]
    difference = float(np.mean([d.mean() for d in differences]))
    n_seeds = max(max(len(x) for x in (*draws_a, *draws_b)), len(differences))
    error: StandardError | None = None
    if len(differences) > 1:
        error = nested_error(differences)
    elif n_seeds > 1:
        error = crossed_error(draws_a[0], draws_b[0])
    if error is None:
        low, high, p_value = _bootstrap(differences[0], difference, resamples, confidence, seed)
    else:
        half = error.half_width(confidence)
        low, high, p_value = difference - half, difference + half, error.p_value(difference)
    return PairedResult(
        mean_a=float(np.mean([x.mean() for x in draws_a])),
        mean_b=float(np.mean([x.mean() for x in draws_b])),
        difference=difference,
        low=low,
        high=high,
        confidence=confidence,
        p_value=p_value,
        n_users=sum(sizes_a),
        n_draws=len(differences),
        n_seeds=n_seeds,
        freedom=None if error is None or not np.isfinite(error.freedom) else float(error.freedom),
        resamples=resamples if error is None else 0,
    )


def _bootstrap(
    values: Floats, difference: float, resamples: int, confidence: float, seed: int
) -> tuple[float, float, float]:
    """Interval and p-value of a mean over users."""
    # shifted by the observed mean, the resampled means are the null distribution and the interval at once
    shifts = resampled_means(values - values.mean(), resamples, seed)
    # rounding must not turn a tie with the observed difference into a smaller one
    extreme = int((np.abs(shifts) >= abs(difference) * (1.0 - 1e-12)).sum())
    low, high = difference + np.quantile(shifts, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return float(low), float(high), (1 + extreme) / (resamples + 1)


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
    """Mean and interval of one system's values by user.

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
    draws = _draws(values, "values")
    zeros: list[Floats] = [np.zeros(x.shape[1]) for x in draws]
    result = compare_paired(draws[0] if len(draws) == 1 else values, zeros, resamples, confidence, seed)
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
    """One float64 [seeds, n] per draw."""
    if isinstance(values, list | tuple) and all(np.ndim(x) == 1 for x in values):
        draws = [np.asarray(x, np.float64)[None] for x in values]
    else:
        array = np.asarray(values, np.float64)
        if array.ndim not in (1, 2):
            raise DataError(f"values of shape {array.shape}", key=name, hint="[users] or [seeds, users]")
        draws = [np.atleast_2d(array)]
    if not draws or any(draw.size == 0 for draw in draws):
        raise DataError("there are no users", key=name)
    if not all(bool(np.isfinite(draw).all()) for draw in draws):
        raise DataError("a per-user value is not finite", key=name, hint="leave out users that cannot be judged")
    return draws
