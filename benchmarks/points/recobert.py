"""RecoBERT: matching titles with descriptions and masked words, without behaviour."""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from _kinship import kinship
from _points import Point, shop, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.models.pretrain.recobert import RecoBERT

WHOLE = "recobert:dim=64;layers=1;epochs=60"
READERS = {"text": "pieces?size=2000&length=40"}
RIVALS = 16


def description_rank(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Reciprocal rank of a new title's own description among 16 of new items."""
    encoder = encoders["text"]
    assert isinstance(model, RecoBERT) and isinstance(encoder, Tower)
    columns = [columns for _, _, columns in model.columns(data.items).values()]
    parts = [encoder.of.encode(data.items.raw("text", unseen(data), names)) for names in columns]
    both = parts[0].present & parts[1].present
    titles, bodies = (torch.from_numpy(part.values[both]).long().to(model.device) for part in parts)
    scores = torch.stack([model.match(titles, bodies.roll(shift, 0))[2] for shift in range(RIVALS)], 1).cpu().numpy()
    return 1.0 / (scores >= scores[:, :1]).sum(1)


POINTS = [
    Point(
        system="recobert",
        claim="Matching titles with descriptions tells which description belongs to the title of a new item.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};tdm=0",
        judge=description_rank,
        readers=READERS,
    ),
    Point(
        system="recobert",
        claim="Guessing masked words makes texts of new items that serve the same purpose similar.",
        data=shop,
        whole=WHOLE,
        ablation=f"{WHOLE};mlm=0",
        judge=kinship("text", "purpose"),
        readers=READERS,
    ),
]
