"""K3M: vectors that survive the loss of a modality, and knowledge that image encoders learn."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _asked import catalogue
from _points import Point, classify, cold_recall, labels, probe, shop, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.models.pretrain.k3m import K3M, MODALITIES

READERS = {"image": "pixels?side=32", "text": "pieces?size=2000&length=24"}
SIZES = "k3m:dim=64;lr=0.002;batch_size=64;epochs=25;patience=25"
CHUNK = 128


def content_vectors(
    model: K3M, encoders: Mapping[str, Encoder], data: Dataset, rows: NDArray[np.int64], lose: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Vectors without triples.

    Args:
        model: the trained system.
        encoders: its encoders.
        data: the data set.
        rows: int64 [n], items.
        lose: bool [n, 2], text or picture that is dropped from items with both.

    Returns:
        float32 [n, d]; bool [n], items with any content.
    """
    inputs = []
    for modality in MODALITIES:
        encoder = encoders[modality]
        assert isinstance(encoder, Tower)
        inputs.append(encoder.of.encode(data.items.raw(modality, rows)))
    has = np.stack([part.present for part in inputs], axis=1)
    visible = torch.from_numpy(has & ~(lose & has.all(1, keepdims=True)))
    ids, pictures = (torch.from_numpy(part.values.astype(np.float32)) for part in inputs)
    with torch.inference_mode():
        parts = zip(ids.long().split(CHUNK), pictures.split(CHUNK), visible.split(CHUNK))
        return torch.cat([model.content(*part) for part in parts]).numpy(), has.any(1)


def single_modality_accuracy(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Accuracy of the category of new items with text and picture, once without the text and once without the picture.

    The linear classifier is trained on complete items.
    """
    assert isinstance(model, K3M)
    new = unseen(data)
    old = np.setdiff1d(np.arange(data.n_items), new)
    complete = np.all([data.items.present(modality)[new] for modality in MODALITIES], axis=0)
    new, names = new[complete], labels(data, "category")
    known, has = content_vectors(model, encoders, data, old, np.zeros((len(old), 2), bool))
    correct = []
    for lost in np.eye(2, dtype=bool):
        queries, _ = content_vectors(model, encoders, data, new, np.tile(lost, (len(new), 1)))
        correct.append(classify(known[has], names[old][has], queries) == names[new])
    return np.mean(correct, axis=0)


POINTS = [
    Point(
        system="k3m",
        claim="What each modality says before interaction keeps a vector sound when the other is lost",
        data=catalogue,
        whole=f"{SIZES};modality_dropout=0",
        ablation=f"{SIZES};modality_dropout=0;moments=interactive",
        judge=single_modality_accuracy,
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="k3m",
        claim="Link prediction carries what is known of items into their pictures",
        data=catalogue,
        whole=SIZES,
        ablation=f"{SIZES};objectives=[mlm,mom]",
        judge=probe("image", "shape"),
        supervision="weak",
        readers=READERS,
    ),
    Point(
        system="k3m",
        claim="Link prediction teaches pictures and texts which new items people take",
        data=shop,
        whole=SIZES,
        ablation=f"{SIZES};objectives=[mlm,mom]",
        judge=cold_recall("text", "image"),
        supervision="weak",
        readers=READERS,
    ),
]
