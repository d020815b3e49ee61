"""The loop that draws answers token by token, for a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from palate.core.errors import BackendError
from palate.generation.decoding.guides import Guide
from palate.generation.decoding.sampling import draw, log_probability, token_probabilities
from palate.generation.decoding.sessions import Session


@dataclass
class Answer:
    """An answer in progress.

    Attributes:
        prompt: tokens of what is asked.
        stream: random numbers of this answer.
        guide: what allows tokens; None allows all.
        stops: texts that end the answer.
        tokens: drawn so far, without those that end an answer.
        log_probability: of ``tokens``.
        finished: how it ended; None while it goes on.
    """

    prompt: Sequence[int]
    stream: np.random.Generator
    guide: Guide | None = None
    stops: Sequence[str] = ()
    tokens: list[int] = field(default_factory=list)
    log_probability: float = 0.0
    finished: Literal["stop", "length"] | None = None


def decode(
    session: Session,
    answers: Sequence[Answer],
    *,
    max_tokens: int,
    temperature: float,
    top_p: float,
    end_ids: Sequence[int],
    to_text: Callable[[Sequence[int]], str],
) -> Iterator[None]:
    """Draw answers; one step of all is done at each ``next``.

    Args:
        session: a fresh one.
        answers: are filled.
        max_tokens: of each.
        temperature: as in :class:`palate.contracts.Sampling`.
        top_p: the same.
        end_ids: tokens that end an answer.
        to_text: text of tokens, in which stops are looked for.

    Raises:
        BackendError: where a constraint leaves no token.
    """
    ends, going = frozenset(end_ids), list(answers)
    scores = session.start([answer.prompt for answer in answers]).cpu().numpy()
    for left in reversed(range(max_tokens)):
        for answer, logits in zip(going, scores, strict=True):
            allowed = None if answer.guide is None else answer.guide.allowed()
            if allowed is not None and not allowed.any():
                raise BackendError("no token keeps the constraint", key="constraint")
            token = draw(token_probabilities(logits, temperature, top_p, allowed), answer.stream)
            if token in ends:
                answer.finished = "stop"
                continue
            answer.tokens.append(token)
            answer.log_probability += log_probability(logits, token)
            complete = answer.guide is not None and answer.guide.push(token)
            if complete or (answer.stops and any(stop in to_text(answer.tokens) for stop in answer.stops)):
                answer.finished = "stop"
            elif not left:
                answer.finished = "length"
        yield
        rows = [row for row, answer in enumerate(going) if answer.finished is None]
        if not rows:
            return
        going = [going[row] for row in rows]
        scores = session.step([answer.tokens[-1] for answer in going], rows).cpu().numpy()
