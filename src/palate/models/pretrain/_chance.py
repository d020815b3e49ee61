"""How likely a model finds what was hidden from it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor

Task = Callable[[], tuple[Tensor, int]]


def held_chance(tasks: Iterable[Task]) -> float:
    """Geometric mean of P(truth) over tokens of all tasks, each the sum of -log P and a count; 0 without tokens.

    What is hidden is drawn alike at every call, so that epochs are compared on the same questions; the caller's draws
    stay as they were.
    """
    with torch.inference_mode(), torch.random.fork_rng():
        torch.manual_seed(0)
        found = [task() for task in tasks]
    count = sum(tokens for _, tokens in found)
    return math.exp(-sum(float(total) for total, _ in found) / count) if count else 0.0
