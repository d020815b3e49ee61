"""Whether a fitted model is better than its baselines, in figures and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from palate.evaluation.fit_result import FitResult
from palate.evaluation.known import KNOWN, is_random
from palate.metrics.bootstrap import PairedResult, compare_paired
from palate.training.deployment import log_of


@dataclass(frozen=True)
class Verdict:
    """A model against one baseline.

    Attributes:
        model: name.
        baseline: name.
        random: the baseline's lists are in random order.
        metric: of test.
        test: model minus baseline on test, paired by unit; None while test is sealed.
        valid_metric: of validation.
        valid: validation of the model and of the baseline; None where one of them has none.
        valid_test: model minus baseline on validation, paired by unit; None where the task has no units.
    """

    model: str
    baseline: str
    random: bool
    metric: str
    test: PairedResult | None
    valid_metric: str
    valid: tuple[float, float] | None
    valid_test: PairedResult | None = None

    @property
    def worse_on_validation(self) -> bool:
        """The baseline is better on validation."""
        if self.valid is None:
            return False
        return self.valid[1] > self.valid[0]

    @property
    def state(self) -> str:
        """``random``, ``worse`` (on validation, or clearly on test), ``better`` (clearly on test) or ``open``."""
        if self.random:
            return "random"
        if self.worse_on_validation or (self.test is not None and self.test.high < 0):
            return "worse"
        return "better" if self.test is not None and self.test.low > 0 else "open"

    @property
    def interval(self) -> str:
        """The difference on test with its interval; empty while test is sealed."""
        if self.test is None:
            return ""
        return f"{self.test.difference:+.4f} [{self.test.low:+.4f}, {self.test.high:+.4f}]"

    @property
    def _valid_interval(self) -> str:
        """The interval of baseline minus model on validation, and a word where it holds 0."""
        if self.valid_test is None:
            return ""
        low, high = -self.valid_test.high, -self.valid_test.low
        return f" [{low:+.4f}, {high:+.4f}]" + (", which may be chance" if low <= 0 <= high else "")

    @property
    def _lead(self) -> str:
        """By how much the model is ahead on validation, with its interval."""
        if self.valid_test is None:
            return ""
        return f": {self.valid_test.difference:+.4f} [{self.valid_test.low:+.4f}, {self.valid_test.high:+.4f}]"

    @property
    def sentence(self) -> str:
        """What to know, and what to do when the baseline wins."""
        if self.random:
            lists = f"{self.baseline} knows none of the items that are asked about: its lists are random"
            beaten = self.test is not None and self.test.low > 0
            return (
                f"{lists}, so being better than it says little" if beaten else f"{lists}, and {self.model} is no better"
            )
        on_test = f"{self.metric} on test {self.interval} ({self.model} - {self.baseline}, 95 % over users)"
        if self.state == "better":
            return f"{self.model} is better than {self.baseline}: {on_test}"
        if self.state == "open":
            if self.test is None and self.valid is None:
                return (
                    f"{self.model} and {self.baseline} are not compared: neither validation nor test asks about anybody"
                )
            if self.test is None:
                return f"{self.model} is not below {self.baseline} on validation{self._lead}"
            return f"{self.model} and {self.baseline} cannot be told apart: {on_test}"
        advice = f"use it (--model {self.baseline}), or add behaviour and fit again"
        if self.worse_on_validation and self.valid is not None:
            own, other = self.valid
            first = (
                f"{self.baseline} is better than {self.model} on validation by {abs(other - own):.4f}"
                f"{self._valid_interval} ({self.valid_metric} {other:.4f} against {own:.4f})"
            )
            return f"{first}: {advice}" if self.test is None else f"{first}; {on_test}: {advice}"
        return f"{self.baseline} is better than {self.model}: {on_test}: {advice}"


def verdicts(fits: Mapping[str, FitResult], metric: str) -> list[Verdict]:
    """The first of ``fits`` against each of the others.

    Args:
        fits: name -> fitted model; the first is the model that is judged.
        metric: headline of the test part.
    """
    (name, main), *others = fits.items()
    return [_verdict(name, main, other, done, metric) for other, done in others]


def _verdict(name: str, main: FitResult, baseline: str, other: FitResult, metric: str) -> Verdict:
    own, base = log_of(main.model), log_of(other.model)
    valid = None if own.valid is None or base.valid is None else (own.valid, base.valid)
    random, test = False, None
    if main.judgement is not None and other.judgement is not None:
        random = is_random(other.judgement.about.get(KNOWN))
        test = _paired(main.judgement.per_unit[metric], other.judgement.per_unit[metric])
    return Verdict(name, baseline, random, metric, test, own.metric, valid, _paired(own.valid_units, base.valid_units))


def _paired(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> PairedResult | None:
    """The difference of two models over the units that both could be judged on."""
    if a is None or b is None or len(a) != len(b):
        return None
    both = np.isfinite(a) & np.isfinite(b)
    return compare_paired(a[both], b[both]) if both.any() else None
