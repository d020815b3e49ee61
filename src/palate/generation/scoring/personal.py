"""Relevance of a text to its item, and its personal fit to a user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from palate.contracts import Preference
from palate.core.encoder import Encoder
from palate.generation.facts.sheet import is_told
from palate.generation.facts.words import key_of, stem, word_lists
from palate.generation.scoring.semantic import Vectors, text_encoder, unit_vectors


def describe(item: Mapping[str, Any]) -> str:
    """The values of an item as one text; ids, addresses and bytes are left out.

    Args:
        item: columns.
    """
    return ". ".join(
        ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        for column, value in item.items()
        if is_told(column, value)
    )


def preference_share(text: str, preferences: Sequence[Preference]) -> float:
    """Weight of the preferences whose value a text says, by the weight of all; nan without any.

    Args:
        text: what was generated.
        preferences: of the user.
    """
    total = sum(one.weight for one in preferences)
    if not total:
        return float("nan")
    words = f" {' '.join(map(stem, key_of(text)))} "
    said = sum(one.weight for one in preferences if f" {' '.join(map(stem, key_of(one.value)))} " in words)
    return said / total


def history_words(text: str, history: Sequence[Mapping[str, Any]]) -> float:
    """Share of a text's content words that the user's items have; nan without words or history.

    Args:
        text: what was generated.
        history: items the user took.
    """
    functions = set(word_lists()["functions"])
    words = [stem(word) for word in key_of(text) if word not in functions]
    known = {stem(word) for item in history for word in key_of(describe(item))}
    return sum(word in known for word in words) / len(words) if words and known else float("nan")


class PersonalFit:
    """Whether a text is closer to the user's history than to the histories of other users.

    Args:
        others: histories of users drawn at random.
        encoder: of texts; MiniLM by default.

    Raises:
        MissingDependencyError: without MiniLM's package.
    """

    def __init__(self, others: Sequence[Sequence[Mapping[str, Any]]], encoder: Encoder | None = None) -> None:
        self.encoder = encoder or text_encoder()
        self.others: Vectors = np.stack([self._mean(history) for history in others if history])

    def _mean(self, history: Sequence[Mapping[str, Any]]) -> Vectors:
        mean = unit_vectors(self.encoder, [describe(item) for item in history]).mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-12)  # type: ignore[no-any-return]

    def score(self, text: str, history: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
        """(share of other users whose history is less close, cosine to the history minus the mean over the others).

        Args:
            text: what was generated.
            history: items the user took; (nan, nan) without any.
        """
        if not history or not text.strip():
            return float("nan"), float("nan")
        vector = unit_vectors(self.encoder, [text])[0]
        own, others = float(self._mean(history) @ vector), self.others @ vector
        share = float(((others < own) + 0.5 * (others == own)).mean())
        return share, own - float(others.mean())
