"""SCALE: contrast aligns modalities, masking keeps what is a modality's own, weights follow what is worth learning."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _asked import catalogue
from _points import Point, classify, labels, retrieval, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.models.pretrain.scale import SCALE
from palate.modules.towers import pooled

READERS = {"image": "pixels?side=48", "text": "pieces?size=4000&length=32", "audio": "mel?bands=32&seconds=1"}
SIZES = "scale:dim=64;width=64;batch_size=64;epochs=40;patience=40"
OWN = ("material", "purpose")
"""Attributes that texts name and neither pictures nor sounds show."""
CHUNK = 256


def text_attribute_accuracy(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Accuracy of a linear classifier of the attributes of new items that only texts name.

    It reads the mean state of the text's own Transformer: the projection after it serves contrast alone.
    """
    assert isinstance(model, SCALE)
    encoder = encoders["text"]
    assert isinstance(encoder, Tower)
    features, new = encoder.of.encode(data.items.raw("text", np.arange(data.n_items))), unseen(data)
    ids = torch.from_numpy(features.values.astype(np.float32))
    with torch.inference_mode():
        values = torch.cat([pooled(model.sides["text"](part)) for part in ids.split(CHUNK)]).numpy()
    queries = new[features.present[new]]
    known = np.setdiff1d(np.flatnonzero(features.present), new)
    truth = [labels(data, name) for name in OWN]
    return np.mean(
        [classify(values[known], names[known], values[queries]) == names[queries] for names in truth], axis=0
    )


POINTS = [
    Point(
        system="scale",
        claim=claim,
        data=catalogue,
        whole=SIZES,
        ablation=f"{SIZES};{without}",
        judge=judge,
        supervision="self",
        readers=READERS,
    )
    for claim, without, judge in (
        ("Contrast lets one modality of an item find another", "objectives=[masked]", retrieval("image", "text")),
        ("Masked modelling keeps what words alone tell", "objectives=[contrast]", text_attribute_accuracy),
        (
            "Learnt weights leave aside sounds, which say little of the rest",
            "harmonised=false",
            retrieval("image", "text"),
        ),
    )
]
