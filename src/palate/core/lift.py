"""How much more often something occurs in a few draws than in general, shrunk to no difference."""

from __future__ import annotations

from typing import Any


def shrunk_lift(count: Any, size: Any, rate: Any, shrinkage: float) -> Any:
    """(count + s rate) / (size + s) / rate: 1 for no draws, and the ratio of rates for many.

    Args:
        count: draws with the property; a number, or an array or tensor of numbers.
        size: draws, of a shape that fits.
        rate: share of the property in general, above 0, of a shape that fits.
        shrinkage: s, imagined draws with the rate in general.
    """
    return (count + shrinkage * rate) / (size + shrinkage) / rate
