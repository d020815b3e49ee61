"""Speculative decoding: several tokens are proposed cheaply and checked by the target at once.

A proposed token x is kept with probability min(1, p(x) / q(x)); at the first that is not, one is drawn from
max(p - q, 0), normalised. So every token has the target's own distribution p, whatever proposes
(Leviathan et al., ICML 2023; Chen et al., arXiv 2302.01318).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from palate.generation.decoding.sampling import draw, log_probability, token_probabilities
from palate.generation.decoding.sessions import CausalModel, shared_length

Distribution = Callable[[NDArray[np.floating]], NDArray[np.float64]]
"""Scores of tokens -> probabilities with which one is drawn."""


class Target(Protocol):
    """The model whose answers are wanted."""

    def scores(self, tokens: Sequence[int], last: int) -> NDArray[np.floating]:
        """Scores after each of the last places of a text.

        Args:
            tokens: the whole text.
            last: how many places.

        Returns:
            float [last, V]; row i tells about the token after ``tokens[len(tokens) - last + i]``.
        """
        ...


class Draft(Protocol):
    """What proposes tokens."""

    def propose(
        self, tokens: Sequence[int], n: int, distribution: Distribution, stream: np.random.Generator
    ) -> tuple[list[int], list[NDArray[np.float64] | None]]:
        """Tokens that may come next.

        Args:
            tokens: the whole text.
            n: how many, at most.
            distribution: how tokens are drawn from scores.
            stream: of random numbers.

        Returns:
            The tokens, and for each the distribution it was drawn from; None for a certain one.
        """
        ...


class RewindingModel:
    """A decoder that reads only what is new of a text, and forgets what was taken back.

    Args:
        model: the decoder; its cache must be one that can be cut.
    """

    def __init__(self, model: CausalModel) -> None:
        self.model, self.read = model, list[int]()
        self.cache = model.new_cache()

    def scores(self, tokens: Sequence[int], last: int) -> NDArray[np.floating]:
        """Scores after each of the last places of a text; float32 [last, V].

        Args:
            tokens: the whole text.
            last: how many places.
        """
        shared = min(shared_length([self.read, tokens]), len(tokens) - last)
        if not self.read and shared == 0 and len(tokens) > last:
            # the prompt, which another answer may have read
            _, self.cache = self.model.read_one(tokens[:-last])
            shared = len(tokens) - last
        elif shared < len(self.read):
            self.cache.crop(shared - len(self.read))
        ids = torch.tensor([list(tokens[shared:])], device=self.model.device)
        mask = torch.ones(1, len(tokens), dtype=torch.int64, device=self.model.device)
        self.read = list(tokens)
        return np.asarray(self.model.forward(ids, self.cache, mask, last)[0].cpu().numpy())


class LookupDraft:
    """Proposes what followed when the last tokens occurred before; needs no model.

    Args:
        longest: tokens that are looked for, at most.
    """

    def __init__(self, longest: int = 3) -> None:
        self.longest = longest

    def propose(
        self, tokens: Sequence[int], n: int, distribution: Distribution, stream: np.random.Generator
    ) -> tuple[list[int], list[NDArray[np.float64] | None]]:
        """What followed the latest earlier occurrence of the longest ending that has one.

        Args:
            tokens: the whole text.
            n: how many, at most.
            distribution: is not asked.
            stream: is not used.
        """
        text = np.asarray(tokens)
        for length in range(min(self.longest, len(text) - 1), 0, -1):
            windows = np.lib.stride_tricks.sliding_window_view(text[:-1], length)
            if len(places := np.flatnonzero((windows == text[-length:]).all(1))):
                found = text[places[-1] + length :][:n].tolist()
                return found, [None] * len(found)
        return [], []


class ModelDraft:
    """Proposes by a smaller model with the same vocabulary.

    Args:
        model: the smaller model.
    """

    def __init__(self, model: Target) -> None:
        self.model = model

    def propose(
        self, tokens: Sequence[int], n: int, distribution: Distribution, stream: np.random.Generator
    ) -> tuple[list[int], list[NDArray[np.float64] | None]]:
        """Tokens drawn from the smaller model one after another.

        Args:
            tokens: the whole text.
            n: how many.
            distribution: how tokens are drawn from scores.
            stream: of random numbers.
        """
        text, probabilities = list(tokens), list[NDArray[np.float64] | None]()
        for _ in range(n):
            probabilities.append(q := distribution(self.model.scores(text, 1)[0]))
            text.append(draw(q, stream))
        return text[len(tokens) :], probabilities


@dataclass(frozen=True)
class Speculated:
    """An answer.

    Attributes:
        tokens: without the one that ended it.
        log_probability: of the tokens at temperature 1.
        ended: whether it ended by itself.
        proposed: tokens that the draft proposed.
        accepted: how many of them were kept.
    """

    tokens: list[int]
    log_probability: float
    ended: bool
    proposed: int
    accepted: int


def speculate(
    target: Target,
    draft: Draft,
    prompt: Sequence[int],
    *,
    n: int,
    max_tokens: int,
    temperature: float,
    top_p: float,
    end_ids: Sequence[int],
    stream: np.random.Generator,
    is_over: Callable[[list[int]], bool] = lambda tokens: False,
) -> Speculated:
    """Draw an answer with the target's distribution.

    Args:
        target: the model whose answer is wanted.
        draft: proposes tokens.
        prompt: tokens of what is asked.
        n: tokens proposed at a time, at most.
        max_tokens: of the answer.
        temperature: as in :class:`palate.contracts.Sampling`.
        top_p: the same.
        end_ids: tokens that end the answer.
        stream: of random numbers.
        is_over: whether an answer ends here, for texts that end it.
    """
    ends, answer, total, proposed, accepted = frozenset(end_ids), list[int](), 0.0, 0, 0

    def distribution(scores: NDArray[np.floating]) -> NDArray[np.float64]:
        return token_probabilities(scores, temperature, top_p)

    while True:
        text = [*prompt, *answer]
        tokens, drafted = draft.propose(text, min(n, max_tokens - len(answer) - 1), distribution, stream)
        rows = target.scores([*text, *tokens], len(tokens) + 1)
        proposed += len(tokens)
        for place, row in enumerate(rows):
            p = distribution(row)
            token, kept = (tokens[place], True) if place < len(tokens) else (draw(p, stream), False)
            if kept:
                q = drafted[place]
                if stream.random() >= p[token] / (1.0 if q is None else q[token]):
                    token, kept = draw(_rest(p, token, q), stream), False
            accepted += kept
            if token in ends:
                return Speculated(answer, total, True, proposed, accepted)
            answer.append(token)
            total += log_probability(row, token)
            if is_over(answer):
                return Speculated(answer, total, True, proposed, accepted)
            if len(answer) == max_tokens:
                return Speculated(answer, total, False, proposed, accepted)
            if not kept:
                break


def _rest(p: NDArray[np.float64], token: int, q: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """What of p is left where q is taken away, normalised."""
    if q is None:
        rest = p.copy()
        rest[token] = 0
    else:
        rest = np.maximum(p - q, 0)
    # where rounding leaves nothing, p and q are equal
    return rest / rest.sum() if rest.sum() > 0 else p
