"""AlignRec's content step: words teach the picture's encoder, and categories as classes draw items together."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _points import Point, nearest, probe, shop
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.models.pretrain.alignrec_content import AlignRecContent

READERS = {"text": "pieces?size=1000&length=32", "image": "pixels"}
WHOLE = "alignrec_content:dim=64;codes=64;batch_size=32;code_epochs=8;epochs=16;patience=16"
CATEGORIES = "alignrec_content:dim=64;codes=32;batch_size=64;code_epochs=2;epochs=6;lr=0.001;category=category"
CHUNK = 256


def content(seed: int, effect: bool) -> Dataset | None:
    """The shop; content does not depend on what users like, so there is no world without effect."""
    return shop(seed, True) if effect else None


def cold_recall_fused(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Capped recall@20 of a user's new items, found by fused vectors near those of the user's own."""
    assert isinstance(model, AlignRecContent)
    text, image = (encoders[m].of.encode(data.items.raw(m)) for m in ("text", "image"))
    inputs = [torch.from_numpy(part) for part in (text.values, image.values, text.present, image.present)]
    parts = zip(*(part.split(CHUNK) for part in inputs))
    values = torch.cat([model.fused(*part) for part in parts]).numpy()
    return nearest(data, [(values, text.present | image.present)])


POINTS = [
    Point(
        system="alignrec_content",
        claim="guessing across modalities teaches the picture's encoder what words tell",
        data=content,
        whole=WHOLE,
        ablation=f"{WHOLE};alone=1",
        judge=probe("image", "shape"),
        readers=READERS,
    ),
    Point(
        system="alignrec_content",
        claim="items of one category drawn together are found for new items' users",
        data=shop,
        whole=CATEGORIES,
        ablation=f"{CATEGORIES};alignment=0",
        judge=cold_recall_fused,
        supervision="weak",
        readers=READERS | {"image": "pixels?side=32"},
    ),
]
