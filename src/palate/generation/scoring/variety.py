"""Variety of generated texts, and the features that they name, as in the literature on explanations.

Distinct-n: Li et al. 2016. USR, FCR, FMR and DIV: Li, Zhang and Chen, *Generate neural template explanations*, CIKM
2020.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import combinations

from palate.core.errors import DataError
from palate.generation.facts.words import key_of

PAIRS = 2000
"""Texts among which all pairs are compared; beyond them DIV is computed from counts."""


def distinct(texts: Sequence[str], n: int = 2) -> float:
    """Distinct n-grams by all n-grams; 0 without any.

    Args:
        texts: what was generated.
        n: words of an n-gram.

    Raises:
        DataError: for n below 1.
    """
    if n < 1:
        raise DataError(f"an n-gram has at least 1 word, not {n}")
    grams: set[tuple[str, ...]] = set()
    count = 0
    for text in texts:
        words = key_of(text)
        grams.update(words[i : i + n] for i in range(len(words) - n + 1))
        count += max(len(words) - n + 1, 0)
    return len(grams) / count if count else 0.0


def unique_sentence_ratio(texts: Sequence[str]) -> float:
    """USR: different texts by all texts; spaces at the ends do not count.

    Args:
        texts: what was generated.
    """
    return len({text.strip() for text in texts}) / len(texts) if texts else 0.0


def named_features(texts: Sequence[str], features: Collection[str]) -> list[set[str]]:
    """Features that each text names, in any case and accent.

    Args:
        texts: what was generated.
        features: words and phrases.
    """
    keys = {key_of(feature): feature for feature in features}
    longest = max(map(len, keys), default=0)
    out = []
    for text in texts:
        words = key_of(text)
        grams = (words[i : i + n] for n in range(1, longest + 1) for i in range(len(words) - n + 1))
        out.append({keys[gram] for gram in grams if gram in keys})
    return out


def feature_coverage(texts: Sequence[str], features: Collection[str]) -> float:
    """FCR: features named by any text, by all features.

    Args:
        texts: what was generated.
        features: all features of the data.
    """
    named = set().union(*named_features(texts, features))
    return len(named) / len(features) if features else 0.0


def feature_matching(texts: Sequence[str], features: Sequence[str]) -> float:
    """FMR: texts that name the feature that they were to be about, by all texts.

    Args:
        texts: what was generated.
        features: one a text.

    Raises:
        DataError: if the numbers differ.
    """
    if len(texts) != len(features):
        raise DataError(f"{len(texts)} texts but {len(features)} features")
    hits = sum(bool(named_features([text], [feature])[0]) for text, feature in zip(texts, features))
    return hits / len(texts) if texts else 0.0


def feature_diversity(texts: Sequence[str], features: Collection[str]) -> float:
    """DIV: mean number of features that two texts share; lower is more diverse.

    Args:
        texts: what was generated.
        features: all features of the data.
    """
    named = named_features(texts, features)
    pairs = len(named) * (len(named) - 1) / 2
    if not pairs:
        return 0.0
    if len(named) <= PAIRS:
        return sum(len(a & b) for a, b in combinations(named, 2)) / pairs
    counts: dict[str, int] = {}
    for features_of in named:
        for feature in features_of:
            counts[feature] = counts.get(feature, 0) + 1
    return sum(count * (count - 1) / 2 for count in counts.values()) / pairs
