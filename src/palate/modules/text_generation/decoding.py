"""Texts out of networks that tell the distribution of the next word: beam search, and sampling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from palate.modules.text_generation.words import END, PAD, START, UNKNOWN

State = tuple[Tensor, ...]
Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""(last words int64 [N], state) -> (log-probabilities of the next word [N, W], state); rows stay in their order."""


@dataclass(frozen=True)
class Decoder:
    """A network about to write.

    Attributes:
        step: tells the next word.
        state: before the first word; tensors of N rows each.
        opening: first input, one for all rows or int64 [N].
        banned: ids that are never written, beside padding, unknown words and the opening.
        no_repeat: runs of this many words are not written twice in a text; 0 allows them.
    """

    step: Step
    state: State
    opening: int | Tensor = START
    banned: tuple[int, ...] = ()
    no_repeat: int = 0

    def first(self, rows: Tensor) -> Tensor:
        """First input int64 [N].

        Args:
            rows: int64 [N], for number and device.
        """
        return self.opening if isinstance(self.opening, Tensor) else torch.full_like(rows, self.opening)

    def next_words(self, words: Tensor, state: State, ended: Tensor) -> tuple[Tensor, State]:
        """Log-probabilities of what may be written next.

        Args:
            words: int64 [N, t], the opening and what was written.
            state: of the rows.
            ended: bool [N], rows in which only the end may follow.
        """
        log_probs, state = self.step(words[:, -1], state)
        log_probs = log_probs.clone()
        log_probs[:, [PAD, UNKNOWN, START, *self.banned]] = -torch.inf
        if self.no_repeat:
            log_probs = log_probs.masked_fill(
                repeated_words(words[:, 1:], self.no_repeat, log_probs.shape[1]), -torch.inf
            )
        only_end = torch.full_like(log_probs, -torch.inf)
        only_end[:, END] = 0.0
        return torch.where(ended[:, None], only_end, log_probs), state


def end_with(decoder: Decoder, marks: Sequence[int]) -> Decoder:
    """A decoder for which marks that stand behind a text end it as ``END`` does.

    Args:
        decoder: banned from writing the marks.
        marks: ids.
    """
    ends = [END, *marks]

    def step(last: Tensor, state: State) -> tuple[Tensor, State]:
        log_probs, state = decoder.step(last, state)
        log_probs = log_probs.clone()
        log_probs[:, END] = log_probs[:, ends].logsumexp(1)
        return log_probs, state

    return replace(decoder, step=step)


def repeated_words(words: Tensor, n: int, width: int) -> Tensor:
    """Words that would close a run of n words that a text has already.

    Args:
        words: int64 [N, t], what was written.
        n: length of a run.
        width: number of words.

    Returns:
        bool [N, width].
    """
    out = torch.zeros(len(words), width, dtype=torch.bool, device=words.device)
    t = words.shape[1]
    if t < n:
        return out
    runs = words.unfold(1, n, 1)
    same = (runs[..., :-1] == words[:, None, t - n + 1 :]).all(2)
    return out.scatter_add(1, torch.where(same, runs[..., -1], PAD), same)


def beam_search(decoder: Decoder, limits: Tensor, width: int = 1, penalty: float = 1.0) -> tuple[Tensor, Tensor]:
    """The most probable texts; a width of 1 is greedy.

    Args:
        decoder: whose rows are ``width`` copies of each of the B texts, next to each other.
        limits: int64 [B], words at most.
        width: of the beam.
        penalty: texts are compared by log-probability over length to this power.

    Returns:
        Words int64 [B, T], with ``END`` and ``PAD`` behind, and log-probabilities [B].
    """
    rows, device = len(limits), limits.device
    longest = int(limits.max()) + 1 if rows else 1
    words = decoder.first(limits.repeat_interleave(width))[:, None]
    scores = torch.full((rows, width), -torch.inf, device=device)
    scores[:, 0] = 0.0
    finished = torch.zeros(rows, width, dtype=torch.bool, device=device)
    lengths = torch.zeros(rows, width, device=device)
    state, base = decoder.state, torch.arange(rows, device=device)[:, None] * width
    for at in range(longest):
        over = (at >= limits)[:, None].expand(-1, width)
        each, state = decoder.next_words(words, state, (over | finished).flatten())
        total = (scores[:, :, None] + each.view(rows, width, -1)).flatten(1)
        scores, best = total.topk(width, 1)
        parent, chosen = best // each.shape[1], best % each.shape[1]
        index = (base + parent).flatten()
        state = tuple(part[index] for part in state)
        done = finished.gather(1, parent)
        words = torch.cat([words[index], torch.where(done, PAD, chosen).flatten()[:, None]], 1)
        lengths = lengths.gather(1, parent) + ~done
        finished = done | (chosen == END)
        if bool(finished.all()):
            break
    best = (scores / lengths.clamp(min=1) ** penalty).argmax(1)
    return words.view(rows, width, -1)[torch.arange(rows, device=device), best, 1:], scores.gather(1, best[:, None])[
        :, 0
    ]


def sample(decoder: Decoder, limits: Tensor, draws: Tensor, temperature: float = 1.0) -> Tensor:
    """Draw a text for each row.

    Args:
        decoder: one row a text.
        limits: int64 [B], words at most.
        draws: uniform [0, 1), float [B, longest limit + 1], one number a word.
        temperature: divides log-probabilities.

    Returns:
        Words int64 [B, T], with ``END`` and ``PAD`` behind.
    """
    state, words = decoder.state, decoder.first(limits)[:, None]
    finished = torch.zeros_like(limits, dtype=torch.bool)
    for at in range(draws.shape[1]):
        log_probs, state = decoder.next_words(words, state, finished | (at >= limits))
        shares = (log_probs.double() / temperature).softmax(1).cumsum(1)
        last = (shares < draws[:, at : at + 1].double() * shares[:, -1:]).sum(1)
        words = torch.cat([words, torch.where(finished, PAD, last)[:, None]], 1)
        finished = finished | (last == END)
        if bool(finished.all()):
            break
    return words[:, 1:]
