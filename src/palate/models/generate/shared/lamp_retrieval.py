"""The documents of a profile that are read with a question, by LaMP's four retrievers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

import numpy as np

from palate.core.content import Features
from palate.generation.prompting.examples import DenseSelector, ExampleSelector, selectors
from palate.generation.scoring.semantic import text_encoder
from palate.models.generate.shared.lamp_data import LampSample, LampTask
from palate.models.generate.shared.lamp_prompts import query_text, retrieve

Retriever = Literal["random", "recency", "bm25", "dense"]
MAX_STORED = 100_000
"""Vectors that are kept, about 150 MB; those of the texts of a call are kept in any case."""


class TextEncoder(Protocol):
    """What makes vectors of texts."""

    def encode(self, texts: list[str]) -> Features:
        """Vectors of texts, pooled.

        Args:
            texts: any.
        """
        ...


class StoredVectors:
    """An encoder that keeps the vector of each text, as the same documents are searched again and again.

    Args:
        encoder: of texts, pooled; MiniLM by default, loaded when first asked.
    """

    def __init__(self, encoder: TextEncoder | None = None) -> None:
        self._encoder, self._rows = encoder, dict[str, np.ndarray]()

    def encode(self, texts: Sequence[str]) -> Features:
        """Vectors of texts.

        Args:
            texts: any.
        """
        wanted = dict.fromkeys(texts)
        new = [text for text in wanted if text not in self._rows]
        if len(self._rows) + len(new) > MAX_STORED:
            self._rows = {text: self._rows[text] for text in wanted if text in self._rows}
        if new:
            self._encoder = self._encoder or text_encoder()
            self._rows.update(zip(new, self._encoder.encode(new).values, strict=True))
        values = np.stack([self._rows[text] for text in texts]).astype(np.float32)
        return Features(values, np.ones(len(values), bool), identity="texts")


def make_selector(name: Retriever, vectors: StoredVectors, seed: int = 0) -> ExampleSelector:
    """A retriever by its name.

    Args:
        name: of the retriever.
        vectors: of texts, for the dense one.
        seed: of the random one.
    """
    if name == "dense":
        return DenseSelector(vectors)  # type: ignore[arg-type]
    return selectors.get("random")(seed) if name == "random" else selectors.get(name)()  # type: ignore[call-arg]


def retrieve_all(
    samples: Sequence[LampSample], task: LampTask, name: Retriever, k: int, vectors: StoredVectors, seed: int = 0
) -> list[list[Mapping[str, str]]]:
    """The k documents that fit each sample best.

    Args:
        samples: questions.
        task: their task.
        name: of the retriever.
        k: documents at most.
        vectors: of texts, for the dense retriever.
        seed: of the random one.

    Raises:
        DataError: if an input is not in LaMP's form.
        MissingDependencyError: without bm25s or MiniLM, where they are asked for.
    """
    if name == "dense" and k and samples:
        # all at once, as encoders work in batches
        texts = [" ".join(one[field] for field in task.searched) for each in samples for one in each.profile]
        vectors.encode([*dict.fromkeys(texts), *(query_text(one, task) for one in samples)])
    selector = make_selector(name, vectors, seed)
    return [retrieve(sample, task, selector, k) for sample in samples]
