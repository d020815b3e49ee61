"""A judge of item similarity: are an item's nearest new items of its kind?"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from _points import Judge, labels, unseen, vectors
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset

NEIGHBOURS = 5


def kinship(modality: str, label: str) -> Judge:
    """Share of a new item's nearest new items, by cosine, that have its ``label``."""

    def judge(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
        rows = unseen(data)
        found = vectors(encoders[modality], modality, data, rows)
        values, names = found.values[found.present], labels(data, label)[rows][found.present]
        # what all items have in common says nothing of kinship
        values = values - values.mean(0)
        values /= np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9)
        scores = values @ values.T
        np.fill_diagonal(scores, -np.inf)
        near = np.argsort(-scores, axis=1)[:, :NEIGHBOURS]
        return (names[near] == names[:, None]).mean(1)

    return judge
