"""The probability from which a label is given, chosen on items that training did not read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_thresholds(
    probabilities: NDArray[np.float32], truth: NDArray[np.bool_], min_positives: int = 5
) -> NDArray[np.float32]:
    """The threshold of each label with the best F1; of a rare label the one that is best for all labels together.

    Args:
        probabilities: [n, labels].
        truth: bool [n, labels].
        min_positives: items with a label below which its own F1 is left to chance.

    Returns:
        float32 [labels]; 1/2 where no label is true of any item.
    """
    common = best_threshold(probabilities.ravel(), truth.ravel())
    enough = truth.sum(0) >= min_positives
    found = [
        best_threshold(probabilities[:, label], truth[:, label]) if enough[label] else common
        for label in range(truth.shape[1])
    ]
    return np.array(found, np.float32)


def best_threshold(scores: NDArray[np.float32], truth: NDArray[np.bool_]) -> float:
    """The threshold with the best F1, the highest of several.

    It lies midway between the last score that reaches it and the next.

    Args:
        scores: [n].
        truth: bool [n].

    Returns:
        A score, 1/2 where nothing is true.
    """
    if not truth.any():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order].astype(np.float64), np.cumsum(truth[order])
    last = np.append(ranked[:-1] > ranked[1:], True)
    f1 = np.where(last, 2 * right / (np.arange(1, len(ranked) + 1) + right[-1]), -1)
    at = int(f1.argmax())
    return float(ranked[at] if at + 1 == len(ranked) else (ranked[at] + ranked[at + 1]) / 2)
