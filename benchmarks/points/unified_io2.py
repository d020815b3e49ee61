"""Unified-IO 2: the effect of each head, of the mixture of denoisers, and of dynamic masking."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _points import Point, probe, shop, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.models.pretrain.shared.denoising import CLS
from palate.models.pretrain.unified_io2 import UnifiedIO2

READERS = {"text": "pieces?size=1000&length=32", "image": "pixels", "audio": "mel?seconds=1"}
WHOLE = "unified_io2:dim=64;codes=64;batch_size=16;code_epochs=8;epochs=14;patience=14"


def content(seed: int, effect: bool) -> Dataset | None:
    """The shop; content does not depend on what users like, so there is no world without effect."""
    return shop(seed, True) if effect else None


def masked_cell_accuracy(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Share of the hidden cells of new pictures whose code is predicted; every other cell is hidden.

    Codes are predicted one after another, each the most likely given those predicted before.
    """
    assert isinstance(model, UnifiedIO2)
    features = encoders["image"].of.encode(data.items.raw("image", unseen(data)))
    maps, net = torch.from_numpy(features.values[features.present]), model.net
    with torch.inference_mode():
        truth = model.codes.books["image"].ids(maps) + model.vocabulary.first_code("image")
        hidden = (torch.arange(truth.shape[1]) % 2 == 0).expand_as(truth)
        prefix = net.senses.prefix(torch.tensor(model.task_prefix("image", "R")).expand(len(maps), -1))
        read = net.encode([prefix, net.senses.maps("image", maps, hidden)])
        readable = ~hidden if model.config.dynamic else torch.ones_like(hidden)
        written = truth.masked_fill(hidden, 0)
        for cell in hidden[0].nonzero()[:, 0].tolist():
            logits = net.decode(read, written, net.senses.cell_positions(maps), readable, CLS)
            written[:, cell] = logits[:, cell].argmax(1)
    return (written == truth)[:, hidden[0]].double().mean(1).numpy()


def head(modality: str, label: str, others: str) -> Point:
    """Point of one head: the modality is read but never written in the ablation."""
    claim = f"writing {modality} teaches its encoder"
    ablation, judge = f"{WHOLE};heads=[{others}]", probe(modality, label)
    return Point("unified_io2", claim, content, WHOLE, ablation, judge, readers=READERS)


POINTS = [
    head("image", "colour", "text, audio"),
    head("text", "material", "image, audio"),
    head("audio", "mood", "text, image"),
    Point(
        system="unified_io2",
        claim="a mixture of denoisers teaches the encoder more than causal writing alone",
        data=content,
        whole=WHOLE,
        ablation=f"{WHOLE};denoisers=[S]",
        judge=probe("image", "colour"),
        readers=READERS,
    ),
    Point(
        system="unified_io2",
        claim="with dynamic masking, hidden cells are inferred and not copied from those before",
        data=content,
        whole=WHOLE,
        ablation=f"{WHOLE};dynamic=false",
        judge=masked_cell_accuracy,
        readers=READERS,
    ),
]
