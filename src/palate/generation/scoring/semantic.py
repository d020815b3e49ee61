"""Likeness of meaning: BERTScore over token vectors of MiniLM, and cosines of sentence vectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Encoder
from palate.features.encoders.hf_ids import HfTokenizer
from palate.features.encoders.hf_text import HfText
from palate.features.encoders.make import make_encoder
from palate.generation.scoring.overlap import Scores, check_pairs

Vectors = NDArray[np.float32]


@lru_cache(maxsize=4)
def text_encoder(spec: str = "minilm") -> Encoder:
    """An encoder of texts, built once.

    Args:
        spec: such as ``minilm``, ``minilm?output=tokens`` or ``hash``.
    """
    return make_encoder(spec, "text")


def unit_vectors(encoder: Encoder, texts: Sequence[str]) -> Vectors:
    """One vector of length 1 a text; zeros for empty texts.

    Args:
        encoder: pooled.
        texts: any.

    Returns:
        float32 [n, d].
    """
    values = encoder.encode(list(texts)).values.astype(np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)  # type: ignore[no-any-return]


def embedding_similarity(texts: Sequence[str], references: Sequence[str], encoder: Encoder | None = None) -> Scores:
    """Cosine of each text and its reference.

    Args:
        texts: what was generated.
        references: one a text.
        encoder: pooled; MiniLM by default.

    Raises:
        DataError: if the numbers differ.
        MissingDependencyError: without MiniLM's package.
    """
    check_pairs(texts, references)
    encoder = encoder or text_encoder()
    left, right = unit_vectors(encoder, texts), unit_vectors(encoder, references)
    scores: Scores = np.einsum("nd,nd->n", left, right).astype(np.float64)
    return scores


def greedy_match(
    text: NDArray, reference: NDArray, weights: tuple[NDArray, NDArray] | None = None
) -> tuple[float, float, float]:
    """Precision, recall and F1 of BERTScore (Zhang et al. 2020): each token's best cosine on the other side.

    Args:
        text: token vectors [t, d].
        reference: token vectors [r, d].
        weights: weights of the tokens of either side; equal by default.
    """
    if not len(text) or not len(reference):
        return 0.0, 0.0, 0.0
    sides = [side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-12) for side in (text, reference)]
    cosines = sides[0] @ sides[1].T
    given = weights or (np.ones(len(text)), np.ones(len(reference)))
    precision, recall = (
        float((best * w).sum() / max(w.sum(), 1e-12)) for best, w in zip((cosines.max(1), cosines.max(0)), given)
    )
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total > 0 else 0.0


def bertscore_minilm(
    texts: Sequence[str],
    references: Sequence[str],
    idf_texts: Sequence[str] | None = None,
    encoder: HfText | None = None,
) -> dict[str, Scores]:
    """BERTScore in MiniLM's last layer: not comparable to figures of RoBERTa. Begin and end tokens are left out.

    Args:
        texts: what was generated.
        references: one a text.
        idf_texts: texts whose document frequencies weight the tokens; None for equal weights.
        encoder: of tokens; MiniLM by default.

    Returns:
        ``precision``, ``recall``, ``f1``: float64 [n].

    Raises:
        DataError: if the numbers differ.
        MissingDependencyError: without MiniLM's package.
    """
    check_pairs(texts, references)
    chosen: Any = encoder or text_encoder("minilm?output=tokens")
    every = [*texts, *references]
    features = chosen.encode(every)
    ends = np.cumsum(features.lengths if features.lengths is not None else [])
    tokens = [part[1:-1] for part in np.split(features.values, ends[:-1])]
    weights = None if idf_texts is None else _idf(chosen, every, idf_texts, [len(part) for part in tokens])
    count, rows = len(texts), []
    for i in range(count):
        pair = (weights[i], weights[count + i]) if weights else None
        rows.append(greedy_match(tokens[i], tokens[count + i], pair))
    table = np.array(rows, np.float64).reshape(-1, 3)
    return {name: table[:, i] for i, name in enumerate(("precision", "recall", "f1"))}


def _idf(encoder: HfText, texts: Sequence[str], corpus: Sequence[str], lengths: list[int]) -> list[NDArray]:
    """-log((df + 1) / (n + 1)) of each token, as in the paper."""
    tokenizer = HfTokenizer(str(encoder.folder), encoder.max_length)
    frequency: dict[int, int] = {}
    for row in tokenizer.encode(list(corpus)).values:
        for token in set(row[row > 0].astype(int).tolist()):
            frequency[token] = frequency.get(token, 0) + 1
    ids = [row[row > 0].astype(int)[1:-1] for row in tokenizer.encode(list(texts)).values]
    table = [np.array([-np.log((frequency.get(t, 0) + 1) / (len(corpus) + 1)) for t in row.tolist()]) for row in ids]
    return [row[:length] if row.sum() > 0 else np.ones(length) for row, length in zip(table, lengths)]
