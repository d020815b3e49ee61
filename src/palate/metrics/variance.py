"""Standard errors that count users and what else was drawn: training seeds, splits and worlds.

Resampling users says nothing about another seed, and resampling three seeds gives intervals that are far too narrow
(the variance of a bootstrap sample of 3 is two thirds of an unbiased estimate, and its tails are bounded). Components
of variance are estimated without bias instead and combined with Satterthwaite's degrees of freedom (Biometrics
Bulletin 2, 1946); a difference over its standard error is then referred to Student's t.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StandardError:
    """Variance of an estimated mean, and how well the variance is known.

    Attributes:
        variance: of the estimate.
        freedom: degrees of freedom; infinite where nothing varies.
    """

    variance: float
    freedom: float

    def half_width(self, confidence: float) -> float:
        """Half the width of the t-interval.

        Args:
            confidence: of the interval, in (0, 1).
        """
        if self.variance == 0.0:
            return 0.0
        return float(stats.t.ppf((1.0 + confidence) / 2.0, self.freedom)) * sqrt(self.variance)

    def p_value(self, estimate: float) -> float:
        """Two-sided p-value of the estimate if the true value were 0.

        Args:
            estimate: a mean or a difference of means.
        """
        if self.variance == 0.0:
            return 1.0 if estimate == 0.0 else 0.0
        return float(2.0 * stats.t.sf(abs(estimate) / sqrt(self.variance), self.freedom))


def crossed_error(a: Floats, b: Floats) -> StandardError:
    """Standard error of the difference of two systems, trained with several seeds and judged on the same users.

    Users and seeds are crossed random effects. With d_j the difference of the seed means of user j and n users::

        V = max(V_users - V_both, 0) + V_seeds
        V_users = var_j(d_j) / n
        V_seeds = var_i(mean of seed i of a) / s_a + the same of b
        V_both  = mean square of the interaction of seeds and users / (s n), of a and of b: contained in both others

    The first term is what users vary by themselves. The seeds of the two systems are independent, as in Welch's test,
    to which this comes down where users differ by chance only. To keep V above V_users would reject half as often as
    it should there, for V_seeds is then an estimate of the same with few degrees of freedom.

    Args:
        a: [s_a, n], values of system a.
        b: [s_b, n], of system b. A system with one seed, or whose seeds all agree, adds no variance of seeds.
    """
    n = a.shape[1]
    users = _variance(a.mean(axis=0) - b.mean(axis=0)) / n
    seeds = [_variance(x.mean(axis=1)) / len(x) for x in (a, b)]
    both = sum(_interaction(x) / (len(x) * n) for x in (a, b))
    own = max(users - both, 0.0)
    total = own + sum(seeds)
    parts = [(own, n - 1), *((part, len(x) - 1) for part, x in zip(seeds, (a, b), strict=True))]
    return StandardError(total, satterthwaite(total, parts))


def nested_error(differences: Sequence[Floats]) -> StandardError:
    """Standard error of the mean over draws (splits, worlds) of the mean difference of their users.

    Each draw has users, and a training, of its own, so that the variance of the draws' means holds all there is.

    Args:
        differences: at least two draws, float64 [n_i] each.
    """
    means = np.array([draw.mean() for draw in differences])
    return StandardError(_variance(means) / len(means), len(means) - 1)


def satterthwaite(total: float, parts: Sequence[tuple[float, int]]) -> float:
    """Degrees of freedom of a variance that is a sum of independent estimates.

    Args:
        total: the variance.
        parts: (variance, degrees of freedom) of what it is made of.

    Returns:
        total^2 / sum(part^2 / freedom); infinite where nothing varies.
    """
    spread = sum(part**2 / freedom for part, freedom in parts if part > 0.0)
    return total**2 / spread if spread > 0.0 else inf


def _variance(values: Floats) -> float:
    """Unbiased; 0 of a single value, and exactly 0 where rounding alone tells values apart."""
    if len(values) < 2 or np.ptp(values) <= 1e-12 * float(np.abs(values).max()):
        return 0.0
    return float(values.var(ddof=1))


def _interaction(x: Floats) -> float:
    """Mean square of what neither the seed nor the user explains."""
    seeds, users = x.shape
    if seeds < 2 or users < 2:
        return 0.0
    rest = x - x.mean(axis=1, keepdims=True) - x.mean(axis=0) + x.mean()
    return float((rest**2).sum() / ((seeds - 1) * (users - 1)))
