"""Overlap of texts with references: ROUGE (rouge-score), BLEU and chrF (sacrebleu), METEOR.

METEOR (Banerjee and Lavie 2005) matches equal words and equal Porter stems; WordNet's synonyms, its third stage, are
left out. Score = F (1 - penalty), F = 10 P R / (R + 9 P), penalty = 0.5 (chunks / matches)^3.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import DataError, MissingDependencyError

Scores = NDArray[np.float64]
"""float64 [n], one score a text."""
BEAM = 32
"""Partial alignments that METEOR keeps."""
_WORD = re.compile(r"\w+|[^\w\s]")


def check_pairs(texts: Sequence[str], references: Sequence[str]) -> None:
    """Check that there is one reference a text.

    Args:
        texts: what was generated.
        references: what people wrote.

    Raises:
        DataError: if the numbers differ.
    """
    if len(texts) != len(references):
        raise DataError(f"{len(texts)} texts but {len(references)} references")


def rouge(texts: Sequence[str], references: Sequence[str], stem: bool = False) -> dict[str, Scores]:
    """ROUGE-1, ROUGE-2 and ROUGE-L, F1 in [0, 1] of each text.

    Args:
        texts: what was generated.
        references: one a text.
        stem: compare Porter stems.

    Returns:
        ``rouge1``, ``rouge2``, ``rougeL``: float64 [n].

    Raises:
        MissingDependencyError: without rouge-score.
        DataError: if the numbers differ.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise MissingDependencyError("rouge-score", "generate") from None
    check_pairs(texts, references)
    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(list(names), use_stemmer=stem)
    rows = [scorer.score(reference, text) for text, reference in zip(texts, references)]
    return {name: np.array([row[name].fmeasure for row in rows], np.float64) for name in names}


def _sacrebleu() -> Any:
    try:
        import sacrebleu
    except ImportError:
        raise MissingDependencyError("sacrebleu", "generate") from None
    return sacrebleu


def bleu(texts: Sequence[str], references: Sequence[str]) -> float:
    """BLEU of the corpus in [0, 100], as sacrebleu signs it (13a tokens, exponential smoothing).

    Args:
        texts: what was generated.
        references: one a text.

    Raises:
        MissingDependencyError: without sacrebleu.
        DataError: if the numbers differ.
    """
    check_pairs(texts, references)
    return float(_sacrebleu().corpus_bleu(list(texts), [list(references)]).score)


def chrf(texts: Sequence[str], references: Sequence[str]) -> float:
    """chrF2 of the corpus in [0, 100]: character n-grams up to 6, recall counts twice.

    Args:
        texts: what was generated.
        references: one a text.

    Raises:
        MissingDependencyError: without sacrebleu.
        DataError: if the numbers differ.
    """
    check_pairs(texts, references)
    return float(_sacrebleu().corpus_chrf(list(texts), [list(references)]).score)


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    try:
        from nltk.stem.porter import PorterStemmer  # type: ignore[import-untyped]
    except ImportError:
        raise MissingDependencyError("rouge-score", "generate") from None
    return PorterStemmer()


@lru_cache(maxsize=65536)
def _porter(word: str) -> str:
    return str(_stemmer().stem(word))


def meteor(texts: Sequence[str], references: Sequence[str]) -> Scores:
    """METEOR with exact and stem matches in [0, 1].

    Args:
        texts: what was generated.
        references: one a text.

    Raises:
        MissingDependencyError: without nltk, which comes with rouge-score.
        DataError: if the numbers differ.
    """
    check_pairs(texts, references)
    pairs = zip(texts, references)
    stems = [tuple([_porter(word) for word in _WORD.findall(t.lower())] for t in pair) for pair in pairs]
    return np.array([_meteor(*pair) for pair in stems], np.float64)


def _meteor(text: list[str], reference: list[str]) -> float:
    matches, chunks = align(text, reference)
    if not matches:
        return 0.0
    precision, recall = matches / len(text), matches / len(reference)
    mean = 10 * precision * recall / (recall + 9 * precision)
    return mean * (1 - 0.5 * (chunks / matches) ** 3)


def align(text: Sequence[str], reference: Sequence[str]) -> tuple[int, int]:
    """(matches, chunks) of the alignment with most matches and, among :data:`BEAM` kept at a time, fewest chunks.

    Args:
        text: words.
        reference: words.
    """
    places: dict[str, list[int]] = {}
    for place, word in enumerate(reference):
        places.setdefault(word, []).append(place)
    left = Counter(text)
    # words that the text has more often than the reference may stay unmatched so many times
    spare = {word: max(left[word] - len(places.get(word, ())), 0) for word in left}
    total = sum(min(left[word], len(found)) for word, found in places.items())
    states: list[tuple[int, int, frozenset[int], tuple[tuple[str, int], ...]]] = [(0, -2, frozenset(), ())]
    for word in text:
        if word not in places:
            states = [(chunks, -2, used, skipped) for chunks, _, used, skipped in states]
            continue
        following = []
        for chunks, last, used, skipped in states:
            for place in places[word]:
                if place not in used:
                    following.append((chunks + (place != last + 1), place, used | {place}, skipped))
            count = dict(skipped).get(word, 0)
            if count < spare[word]:
                now = tuple(sorted({**dict(skipped), word: count + 1}.items()))
                following.append((chunks, -2, used, now))
        states = sorted(set(following), key=lambda state: (state[0], state[1]))[:BEAM]
    return total, min(state[0] for state in states)
