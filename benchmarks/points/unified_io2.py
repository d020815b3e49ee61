"""Unified-IO 2: what each head teaches, what the mixture of denoisers adds, and what dynamic masking is for."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _points import Point, probe, shop, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.models.pretrain._denoise import OPEN
from palate.models.pretrain.unified_io2 import UnifiedIO2

READERS = {"text": "pieces?size=1000&length=32", "image": "pixels", "audio": "mel?seconds=1"}
WHOLE = "unified_io2:dim=64;codes=64;batch_size=16;code_epochs=8;epochs=14;patience=14"


def content(seed: int, effect: bool) -> Dataset | None:
    """The shop; what content tells of itself is the same whatever people like."""
    return shop(seed, True) if effect else None


def filled(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """Of new pictures with every other cell hidden: the share whose code is found, one after another, each the
    likeliest given those found before."""
    assert isinstance(model, UnifiedIO2)
    found = encoders["image"].of.encode(data.items.raw("image", unseen(data)))
    maps, net = torch.from_numpy(found.values[found.present]), model.net
    with torch.inference_mode():
        truth = model.codes.books["image"].ids(maps) + model.layout.first("image")
        hidden = (torch.arange(truth.shape[1]) % 2 == 0).expand_as(truth)
        asked = net.senses.prefix(torch.tensor(model.asked("image", "R")).expand(len(maps), -1))
        read = net.encode([asked, net.senses.maps("image", maps, hidden)])
        tells = ~hidden if model.config.dynamic else torch.ones_like(hidden)
        written = truth.masked_fill(hidden, 0)
        for cell in hidden[0].nonzero()[:, 0].tolist():
            logits = net.decode(read, written, net.senses.cell_positions(maps), tells, OPEN)
            written[:, cell] = logits[:, cell].argmax(1)
    return (written == truth)[:, hidden[0]].double().mean(1).numpy()


def head(modality: str, label: str, others: str) -> Point:
    """What is lost when a modality is read but never written."""
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
        judge=filled,
        readers=READERS,
    ),
]
