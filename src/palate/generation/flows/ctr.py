"""How often a copy is clicked: a logistic regression on its words, or a language model that is shown past copies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from palate.contracts import Constraint, Prompt, Sampling, TextBackend
from palate.core.errors import DataError
from palate.generation.flows.item_values import words

Floats = NDArray[np.float64]


class CopyScorer(Protocol):
    """A judge of copies."""

    def predict(self, texts: Sequence[str]) -> Floats:
        """A value for each text, the higher the better.

        Args:
            texts: copies.
        """
        ...


@dataclass(frozen=True)
class WordCtr:
    """Click-through rate by logistic regression: sigmoid(bias + sum of the weights of the words that occur + ...).

    Attributes:
        vocabulary: word -> row of ``weights``; the last row is that of log(1 + number of words).
        weights: float64 [words + 1].
        bias: intercept.
    """

    vocabulary: Mapping[str, int]
    weights: Floats
    bias: float

    @classmethod
    def fit(
        cls, texts: Sequence[str], shown: ArrayLike, clicks: ArrayLike, l2: float = 3.0, min_copies: int = 2
    ) -> WordCtr:
        """Maximise the binomial likelihood of clicks minus l2 / 2 |weights|^2; the bias is not penalised.

        Args:
            texts: copies that were shown.
            shown: times each was shown.
            clicks: times each was clicked.
            l2: penalty.
            min_copies: copies in which a word occurs at least.

        Raises:
            DataError: if there is nothing to learn from, or there are more clicks than showings.
        """
        from scipy.optimize import minimize

        n, c = np.asarray(shown, np.float64), np.asarray(clicks, np.float64)
        if not len(texts) == len(n) == len(c) or not n.sum() > 0:
            raise DataError(f"{len(texts)} copies with {len(n)} counts of showings and {len(c)} of clicks")
        if (wrong := np.flatnonzero((c < 0) | (c > n))).size:
            raise DataError("clicks must lie between 0 and the showings", row=int(wrong[0]) + 1, column="clicks")
        split = [words(text) for text in texts]
        counts: dict[str, int] = {}
        for found in split:
            for word in set(found):
                counts[word] = counts.get(word, 0) + 1
        kept = sorted(word for word, count in counts.items() if count >= min_copies)
        vocabulary = {word: row for row, word in enumerate(kept)}
        x = _matrix(split, vocabulary)
        start = np.zeros(x.shape[1] + 1)
        start[-1] = math.log((c.sum() + 0.5) / (n.sum() - c.sum() + 0.5))

        def objective(w: Floats) -> tuple[float, Floats]:
            z = x @ w[:-1] + w[-1]
            loss = float((n * np.logaddexp(0.0, z) - c * z).sum()) + 0.5 * l2 * float(w[:-1] @ w[:-1])
            slope = n / (1.0 + np.exp(-z)) - c
            return loss, np.append(slope @ x + l2 * w[:-1], slope.sum())

        found_w = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 500}).x
        return cls(vocabulary, found_w[:-1], float(found_w[-1]))

    def predict(self, texts: Sequence[str]) -> Floats:
        z = _matrix([words(text) for text in texts], self.vocabulary) @ self.weights + self.bias
        out: Floats = 1.0 / (1.0 + np.exp(-z))
        return out

    def state(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"words": list(self.vocabulary), "weights": self.weights.tolist(), "bias": self.bias}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> WordCtr:
        """Restore what :meth:`state` returned.

        Args:
            state: as returned.
        """
        vocabulary = {word: row for row, word in enumerate(state["words"])}
        return cls(vocabulary, np.array(state["weights"], np.float64), float(state["bias"]))


@dataclass(frozen=True)
class InContextCtr:
    """Click-through rate as a language model estimates it after examples of past copies and their rates.

    Attributes:
        backend: the language model; it must keep a ``regex`` constraint.
        copies: past copies.
        rates: their click-through rates, 0 to 1.
        examples: copies that are shown, evenly spread over the rates.
    """

    backend: TextBackend
    copies: Sequence[str]
    rates: Sequence[float]
    examples: int = 6

    def predict(self, texts: Sequence[str]) -> Floats:
        order = sorted(range(len(self.copies)), key=lambda at: (self.rates[at], at))
        spread = np.unique(np.linspace(0, len(order) - 1, min(self.examples, len(order))).round().astype(int))
        shots = [({"copy": self.copies[order[at]]}, f"{100 * self.rates[order[at]]:.1f}") for at in spread]
        task = "Estimate how many of 100 readers click on the copy. Answer with a number with one decimal."
        prompts = [Prompt(task, {"copy": text}, shots) for text in texts]
        sampling = Sampling(max_tokens=8, constraint=Constraint(regex=r"[0-9]{1,2}\.[0-9]"))
        answers = self.backend.complete(prompts, sampling, seed=0)
        return np.array([float(answer.text) / 100.0 for answer in answers], np.float64)


def _matrix(split: Sequence[Sequence[str]], vocabulary: Mapping[str, int]) -> Floats:
    x = np.zeros((len(split), len(vocabulary) + 1))
    for row, found in enumerate(split):
        x[row, [vocabulary[word] for word in set(found) if word in vocabulary]] = 1.0
        x[row, -1] = math.log1p(len(found))
    return x
