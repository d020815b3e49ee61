"""Texts within a budget of tokens: each document is cut to its share, and what one leaves goes to the next."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence

from palate.core.errors import ConfigError

Count = Callable[[str], int]
"""Tokens of a text, such as ``TextBackend.count``."""


def truncate(text: str, tokens: int, count: Count) -> str:
    """The longest beginning of whole words within a budget.

    Args:
        text: any.
        tokens: at most.
        count: tokens of a text.
    """
    if count(text) <= tokens:
        return text
    words = text.split()
    kept = bisect_right(range(len(words)), tokens, key=lambda n: count(" ".join(words[: n + 1])))
    return " ".join(words[:kept])


def fit_documents(documents: Sequence[str], tokens: int, count: Count, joint: str = "") -> list[str]:
    """Documents cut so that all of them fit, as in LaMP: none is left out for the length of another.

    Args:
        documents: the most important first.
        tokens: for all of them together.
        count: tokens of a text.
        joint: text between two documents.

    Raises:
        ConfigError: for a budget below 0.
    """
    if tokens < 0:
        raise ConfigError(f"a budget is at least 0 tokens, not {tokens}", key="tokens")
    left = tokens - count(joint) * max(len(documents) - 1, 0) if joint else tokens
    out = []
    for place, document in enumerate(documents):
        share = max(left, 0) // (len(documents) - place)
        kept = truncate(document, share, count)
        left -= count(kept)
        out.append(kept)
    return out
