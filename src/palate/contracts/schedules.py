"""Learning-rate schedules by step: factor on the learning rate of the next step."""

from __future__ import annotations

import math
from collections.abc import Callable

from palate.contracts.phase import Schedule, StepInfo
from palate.core.config import ScheduleName


def schedule_of(name: ScheduleName, warmup_steps: int = 0) -> Schedule | None:
    """A schedule by name, after a linear warm-up.

    Args:
        name: ``constant``, or ``linear`` or ``cosine`` decay to 0 over the steps the phase may take at most.
        warmup_steps: steps in which the factor rises from 1 / warmup_steps to 1.

    Returns:
        None where the factor is always 1.
    """
    decay = _DECAYS[name]
    if name == "constant" and not warmup_steps:
        return None

    def factor(at: StepInfo) -> float:
        if at.step < warmup_steps:
            return (at.step + 1) / warmup_steps
        left = max(at.total - warmup_steps, 1)
        return decay(min((at.step - warmup_steps) / left, 1.0))

    return factor


def by_epoch(factor: Callable[[int], float]) -> Schedule:
    """A schedule that changes between epochs only.

    Args:
        factor: epochs done -> factor.
    """
    return lambda at: factor(at.epoch)


_DECAYS: dict[ScheduleName, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),
}
