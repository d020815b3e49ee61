"""Scores of explanations against references and against what is known of item and user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from _xrec_data import Pair
from palate.generation.facts import FactChecker, FactSheet, Lexicon
from palate.generation.facts.repair import repair
from palate.generation.facts.words import key_of, sentences, stem, word_lists
from palate.generation.scoring import (
    bertscore_minilm,
    bleu,
    chrf,
    distinct,
    feature_coverage,
    meteor,
    rouge,
    unique_sentence_ratio,
)
from palate.generation.scoring.semantic import greedy_match, text_encoder

RARE, COMMON = 0.01, 0.10
"""A feature is a word in at least and at most these shares of the training explanations."""
MEANS = ("bertscore", "rouge1", "rouge2", "rougeL", "meteor", "words")
"""Scores that every text has."""


class TokenCache:
    """MiniLM's token vectors of texts, each encoded once."""

    def __init__(self) -> None:
        self.known: dict[str, np.ndarray] = {}

    def encode(self, texts: Sequence[str]) -> Any:
        new = [text for text in dict.fromkeys(texts) if text not in self.known]
        if new:
            found = text_encoder("minilm?output=tokens").encode(new)
            assert found.lengths is not None
            self.known.update(zip(new, np.split(found.values, np.cumsum(found.lengths)[:-1]), strict=True))
        parts = [self.known[text] for text in texts]
        return SimpleNamespace(values=np.concatenate(parts), lengths=np.array([len(part) for part in parts]))

    def agreement(self, texts: Sequence[str]) -> np.ndarray:
        """Mean BERTScore of each text against the others, 0 where there is none."""
        self.encode(texts)
        tokens = [self.known[text][1:-1] for text in texts]
        like = np.zeros((len(texts), len(texts)))
        for i in range(len(texts)):
            for j in range(i):
                like[i, j] = like[j, i] = greedy_match(tokens[i], tokens[j])[2]
        return like.sum(1) / max(len(texts) - 1, 1)


def checker_of(pairs: Sequence[Pair]) -> FactChecker:
    """The check of facts with the titles of the catalogue."""
    items = {pair.item: {"title": pair.title, "summary": pair.item_summary} for pair in pairs}
    return FactChecker(Lexicon.learn(list(items.values())))


def features_of(train: Sequence[Pair]) -> list[str]:
    """Words that explanations name: neither in almost all nor in almost none of them."""
    functions = set(word_lists()["functions"])
    counts = Counter(word for pair in train for word in set(key_of(pair.reference)))
    low, high = RARE * len(train), COMMON * len(train)
    return sorted(word for word, n in counts.items() if low <= n <= high and word not in functions and len(word) > 2)


def score(texts: Sequence[str], pairs: Sequence[Pair], checker: FactChecker, cache: TokenCache) -> list[dict[str, Any]]:
    """The scores of each text, and the text after check and repair."""
    references = [pair.reference for pair in pairs]
    columns = {
        "bertscore": bertscore_minilm(texts, references, encoder=cache)["f1"],  # type: ignore[arg-type]
        **rouge(texts, references),
        "meteor": meteor(texts, references),
        "words": [len(text.split()) for text in texts],
    }
    rows = []
    for at, (text, pair) in enumerate(zip(texts, pairs, strict=True)):
        check = checker.on(sheet := FactSheet(pair.columns, pair.evidence))
        mended = repair(text, sheet, check)
        row = {name: round(float(values[at]), 6) for name, values in columns.items()}
        row |= {"sentences": len(sentences(text)), "unsupported": len(check(text).unsupported_sentences)}
        left = check(mended) if mended else None
        row |= {
            "kept": len(left.sentences) if left else 0,
            "unsupported_kept": len(left.unsupported_sentences) if left else 0,
        }
        rows.append(row | {"changed": mended != text, "text": text})
    return rows


def own_words(text: str, pair: Pair) -> float:
    """Share of the content words of a text that the texts of its item and user have; 0 without any.

    Args:
        text: what was generated.
        pair: what it is about.
    """
    told = [
        pair.title,
        pair.item_summary,
        pair.user_summary,
        *(value for row in pair.history for value in row.values()),
    ]
    own = _content(" ".join(told))
    said = _content(text)
    return len(said & own) / max(len(said), 1)


def _content(text: str) -> set[str]:
    functions = set(word_lists()["functions"])
    return {stem(word) for word in key_of(text) if word not in functions and len(word) > 2}


def summary(
    rows: Sequence[Sequence[Mapping[str, Any]]], pairs: Sequence[Sequence[Pair]], features: Sequence[str]
) -> dict[str, float]:
    """Means over seeds of means over texts, and of what is told of all texts together."""
    out = {name: float(np.mean([np.mean([row[name] for row in seed]) for seed in rows])) for name in MEANS}
    texts = [[str(row["text"]) for row in seed] for seed in rows]
    references = [[pair.reference for pair in seed] for seed in pairs]
    out["own_words"] = float(
        np.mean(
            [np.mean([own_words(*one) for one in zip(said, seed, strict=True)]) for said, seed in zip(texts, pairs)]
        )
    )
    for name, tell in {
        "bleu": lambda s, r: bleu(s, r), "chrf": lambda s, r: chrf(s, r), "usr": lambda s, r: unique_sentence_ratio(s),
        "distinct1": lambda s, r: distinct(s, 1), "distinct2": lambda s, r: distinct(s, 2),
        "features": lambda s, r: feature_coverage(s, features),
    }.items():  # fmt: skip
        out[name] = float(np.mean([tell(seed, wanted) for seed, wanted in zip(texts, references, strict=True)]))
    every = [row for seed in rows for row in seed]
    total = {
        name: sum(row[name] for row in every)
        for name in ("sentences", "unsupported", "kept", "unsupported_kept", "changed")
    }
    out["unsupported_before"] = total["unsupported"] / max(total["sentences"], 1)
    out["unsupported_after"] = total["unsupported_kept"] / max(total["kept"], 1)
    out["sentences_kept"] = total["kept"] / max(total["sentences"], 1)
    return {name: round(value, 4) for name, value in out.items()}
