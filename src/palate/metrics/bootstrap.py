"""Is the difference between two systems more than luck? Paired bootstrap over users, corrected for many comparisons."""

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
"""Resampled users held at once (16 MiB of values), whatever users x resamples is."""
_REPEATS = 16
"""From this many users per distinct difference on, drawing counts is cheaper than drawing users."""


@dataclass(frozen=True)
class PairedResult:
    """System a against system b on the same users.

    Attributes:
        mean_a, mean_b, difference: means over users (over draws of the means, if stratified); a minus b.
        low, high: percentile interval of the difference at ``confidence``.
        p_value: two-sided, of a difference this large if the true one were 0.
        p_adjusted: the same after Holm's correction; None where only one comparison was made.
        n_users: users compared, over all draws. n_draws: draws (strata) they come from. resamples: bootstrap samples.
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
    """Paired bootstrap (Efron and Tibshirani 1993) of the mean difference of a per-user metric.

    Users are resampled, since they are what varies; seeds of one system on the same users are not more users.

    Args:
        a, b: values of the same users in the same order, as one of

            - float [n]: one run each;
            - float [s, n]: s seeds on the same users, first averaged per user (the systems may differ in s);
            - a list of float [n_i]: draws (splits, worlds) with users of their own. Users are resampled within their
              draw, and the statistic is the mean of the draws' means.
        resamples: bootstrap samples. confidence: of the interval, in (0, 1). seed: of the resampling.

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
    apart = [x - y for x, y in zip(draws_a, draws_b, strict=True)]
    difference = float(np.mean([d.mean() for d in apart]))
    # Shifted by the observed mean, the resampled means are the null distribution and the interval at once.
    shifts = np.zeros(resamples)
    for index, values in enumerate(apart):
        shifts += resampled_means(values - values.mean(), resamples, seed, index) / len(apart)
    # Rounding must not turn a tie with the observed difference into a smaller one.
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
        n_draws=len(apart),
        resamples=resamples,
    )


def compare_all(
    baseline: Values, others: Mapping[str, Values], resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> dict[str, PairedResult]:
    """Each of ``others`` (as a) against ``baseline`` (as b), with Holm's correction over all of them."""
    found = {name: compare_paired(a, baseline, resamples, confidence, seed) for name, a in others.items()}
    adjusted = holm([result.p_value for result in found.values()])
    return {
        name: replace(result, p_adjusted=float(p)) for (name, result), p in zip(found.items(), adjusted, strict=True)
    }


def mean_interval(
    values: Values, resamples: int = 10_000, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float, float]:
    """(mean, low, high) of one system's per-user values; shapes as in :func:`compare_paired`."""
    nothing = [np.zeros(len(x)) for x in _draws(values, "values")]
    result = compare_paired(_draws(values, "values"), nothing, resamples, confidence, seed)
    return result.difference, result.low, result.high


def holm(p_values: ArrayLike) -> Floats:
    """Holm's (1979) adjusted p-values, in the order given: reject where at most alpha, and the family error holds.

    The i-th smallest of m is multiplied by m - i + 1; values never fall below a smaller one's, nor exceed 1.
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
    """float64 [resamples]: means of samples of ``len(values)`` drawn with replacement.

    Memory is bounded whatever ``len(values) * resamples`` is. Where values repeat a lot (hit rates, few distinct
    recalls), how often each distinct value is drawn is sampled instead: the same distribution, and faster.
    """
    rng = rng_for(seed, "bootstrap", name)
    found = np.empty(resamples)
    n = len(values)
    distinct, counts = np.unique(values, return_counts=True)
    few = len(distinct) * _REPEATS <= n
    for start, end in _pieces(resamples, len(distinct) if few else n):
        if few:
            found[start:end] = rng.multinomial(n, counts / n, size=end - start) @ distinct / n
        else:
            found[start:end] = values[rng.integers(0, n, (end - start, n), dtype=np.int32)].mean(axis=1)
    return found


def _pieces(total: int, width: int) -> Iterator[tuple[int, int]]:
    step = max(1, _DRAWS // width)
    for start in range(0, total, step):
        yield start, min(start + step, total)


def _draws(values: Values, name: str) -> list[Floats]:
    """One float64 [n] per draw."""
    if isinstance(values, list | tuple) and all(np.ndim(x) == 1 for x in values):
        draws = [np.asarray(x, np.float64) for x in values]
    else:
        whole = np.asarray(values, np.float64)
        if whole.ndim not in (1, 2):
            raise DataError(f"values of shape {whole.shape}", key=name, hint="[users] or [seeds, users]")
        draws = [whole if whole.ndim == 1 else whole.mean(axis=0)]
    if not draws or any(len(draw) == 0 for draw in draws):
        raise DataError("there are no users", key=name)
    if not all(bool(np.isfinite(draw).all()) for draw in draws):
        raise DataError("a per-user value is not finite", key=name, hint="leave out users that cannot be judged")
    return draws
