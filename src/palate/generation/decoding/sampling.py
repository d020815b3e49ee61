"""Sampling of one token: temperature, nucleus, constraint, and a random stream of its own for each answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from palate.core.seeding import rng_for


def streams_for(seed: int, prompts: Sequence[Sequence[int]]) -> list[np.random.Generator]:
    """A random stream for each prompt, whatever else is in the batch; equal prompts have different ones.

    Args:
        seed: of the call.
        prompts: tokens of each.
    """
    seen: dict[tuple[int, ...], int] = {}
    streams = []
    for prompt in map(tuple, prompts):
        seen[prompt] = seen.get(prompt, 0) + 1
        streams.append(rng_for(seed, "completion", *prompt, seen[prompt]))
    return streams


def token_probabilities(
    logits: NDArray[np.floating], temperature: float, top_p: float, allowed: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Probabilities with which the next token is drawn.

    Args:
        logits: float [V].
        temperature: 0 puts all on the most probable token, the first of equals.
        top_p: smallest set of tokens with this probability, the rest of which is spread over it.
        allowed: bool [V]; at least one.

    Returns:
        float64 [V], adding up to 1.
    """
    scores = np.asarray(logits, np.float64)
    if allowed is not None:
        scores = np.where(allowed, scores, -np.inf)
    probabilities: NDArray[np.float64] = np.zeros(len(scores))
    if temperature <= 0:
        probabilities[int(scores.argmax())] = 1
        return probabilities
    probabilities = np.exp((scores - scores.max()) / temperature)
    probabilities /= probabilities.sum()
    if top_p < 1:
        order = np.argsort(-probabilities, kind="stable")
        before = np.cumsum(probabilities[order]) - probabilities[order]
        probabilities[order[before >= top_p]] = 0
        probabilities /= probabilities.sum()
    return np.asarray(probabilities, np.float64)


def draw(probabilities: NDArray[np.float64], stream: np.random.Generator) -> int:
    """A token of positive probability.

    Args:
        probabilities: float64 [V].
        stream: gives one number.
    """
    positive = np.flatnonzero(probabilities)
    sums = np.cumsum(probabilities[positive])
    place = np.searchsorted(sums, stream.random() * sums[-1], side="right")
    return int(positive[min(int(place), len(positive) - 1)])


def log_probability(logits: NDArray[np.floating], token: int) -> float:
    """Natural logarithm of a token's probability at temperature 1, without constraint.

    Args:
        logits: float [V].
        token: its number.
    """
    scores = np.asarray(logits, np.float64)
    top = scores.max()
    return float(scores[token] - top - np.log(np.exp(scores - top).sum()))
