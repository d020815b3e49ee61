"""Fluency: how usual the words' order is in the catalogue's own texts, or to a language model; and readability."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from palate.contracts import Prompt, ScoringBackend
from palate.core.errors import DataError
from palate.generation.facts.words import fold, key_of, sentences

START, UNKNOWN = "<s>", "<unk>"
DISCOUNT = 0.75
"""Taken from each count, as in Kneser and Ney 1995."""
_VOWELS = re.compile(r"[aeiouyäöü]+")


class NgramModel:
    """Words after two words: interpolated Kneser-Ney, with one unknown word of equal share.

    Args:
        texts: the catalogue's own.

    Raises:
        DataError: if they have no word.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self.trigrams: Counter[tuple[str, ...]] = Counter()
        for text in texts:
            for start, stop in sentences(text):
                words = (START, START, *key_of(text[start:stop]))
                self.trigrams.update(words[i : i + 3] for i in range(len(words) - 2))
        if not self.trigrams:
            raise DataError("no words to learn a language model from")
        self.contexts: Counter[tuple[str, ...]] = Counter()
        self.followers: Counter[tuple[str, ...]] = Counter()
        self.bigrams: Counter[tuple[str, ...]] = Counter()
        for gram, count in self.trigrams.items():
            self.contexts[gram[:2]] += count
            self.followers[gram[:2]] += 1
            # continuation counts: different words before a pair
            self.bigrams[gram[1:]] += 1
        self.middles: Counter[str] = Counter()
        self.middle_followers: Counter[str] = Counter()
        self.words: Counter[str] = Counter()
        for (before, word), count in self.bigrams.items():
            self.middles[before] += count
            self.middle_followers[before] += 1
            self.words[word] += 1
        self.total = sum(self.words.values())

    def probability(self, word: str, before: tuple[str, str]) -> float:
        """Probability of a word after two.

        Args:
            word: folded.
            before: the two words before, ``<s>`` at the beginning.
        """
        vocabulary = len(self.words) + 1
        base = max(self.words[word] - DISCOUNT, 0) / self.total
        base += DISCOUNT * len(self.words) / self.total / vocabulary
        middle = self.middles[before[1]]
        if middle:
            share = max(self.bigrams[before[1], word] - DISCOUNT, 0) / middle
            base = share + DISCOUNT * self.middle_followers[before[1]] / middle * base
        context = self.contexts[before]
        if context:
            share = max(self.trigrams[(*before, word)] - DISCOUNT, 0) / context
            base = share + DISCOUNT * self.followers[before] / context * base
        return base

    def log_probability(self, text: str) -> float:
        """Mean natural logarithm of the probability of a word; nan for a text without words.

        Args:
            text: any.
        """
        logs = []
        for start, stop in sentences(text):
            words = (START, START, *key_of(text[start:stop]))
            triples = zip(words, words[1:], words[2:])
            logs += [math.log(self.probability(word, (first, second))) for first, second, word in triples]
        return sum(logs) / len(logs) if logs else float("nan")


def model_fluency(texts: Sequence[str], backend: ScoringBackend) -> list[float]:
    """Mean log-likelihood of a word under a language model, without a prompt's help; nan for empty texts.

    Args:
        texts: what was generated.
        backend: tells how probable an answer is.
    """
    logs = backend.log_likelihood([Prompt("Write a sentence.") for _ in texts], list(texts))
    return [log / len(key_of(text)) if key_of(text) else float("nan") for text, log in zip(texts, logs)]


def reading_ease(text: str) -> float:
    """Flesch's reading ease of an English text: 206.835 - 1.015 words a sentence - 84.6 syllables a word.

    Syllables are groups of vowels, without a silent e at the end. nan for a text without words.

    Args:
        text: any.
    """
    words = key_of(text)
    if not words:
        return float("nan")
    syllables = sum(_syllables(word) for word in words)
    return 206.835 - 1.015 * len(words) / len(sentences(text)) - 84.6 * syllables / len(words)


def _syllables(word: str) -> int:
    groups = len(_VOWELS.findall(fold(word)))
    silent = word.endswith("e") and not word.endswith("le") and groups > 1
    return max(groups - silent, 1)
