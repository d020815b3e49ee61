"""UNITER: hiding one modality at a time, and aligning words with regions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from _captions import READERS, captioned
from numpy.typing import NDArray

from _asked import SMALL, catalogue
from _points import Point, unseen
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset
from palate.features.encoders.tower import Tower
from palate.models.pretrain.shared.streams import FIRST_WORD, MASK
from palate.models.pretrain.uniter import UNITER

RIVALS = 16
SIZES = "uniter:epochs=40;dim=64;layers=2"
WORDS = "uniter:epochs=60;dim=64;layers=2;lr=0.0005;batch_size=32;held=0;alone=0;tasks=[mlm];masked=0.5"


def new_pairs(encoders: Mapping[str, Encoder], data: Dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and pixels of new items that have both."""
    inputs = []
    for modality in ("text", "image"):
        encoder = encoders[modality]
        assert isinstance(encoder, Tower)
        inputs.append(encoder.of.encode(data.items.raw(modality, unseen(data))))
    both = inputs[0].present & inputs[1].present
    ids, pictures = (torch.from_numpy(part.values[both].astype(np.float32)) for part in inputs)
    return ids.long(), pictures


def word_likelihood(
    model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int
) -> NDArray[np.float64]:
    """Mean log-probability of a new item's words, each masked in turn and predicted from the rest and the picture."""
    assert isinstance(model, UNITER)
    ids, pictures = new_pairs(encoders, data)
    out = []
    with torch.inference_mode():
        for row, picture in zip(ids, pictures):
            places = (row >= FIRST_WORD).nonzero()[:, 0]
            hidden = row.repeat(len(places), 1)
            hidden[torch.arange(len(places)), places] = MASK
            regions, mask = model.regions(picture[None])
            image = regions.expand(len(places), -1, -1), mask.expand(len(places), -1)
            states, _ = model.stream([model.words(hidden), image])
            logits = model.guess_word(states[torch.arange(len(places)), places], model.words.words.weight)
            truth = row[places].clamp(max=logits.shape[1] - 1)
            out.append(float(logits.log_softmax(1).gather(1, truth[:, None]).mean()))
    return np.array(out)


def matching_rank(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """Reciprocal rank, by matching, of a new picture's own text among 16 texts."""
    assert isinstance(model, UNITER)
    ids, pictures = new_pairs(encoders, data)
    with torch.inference_mode():
        image, columns = model.regions(pictures), []
        for shift in range(RIVALS):
            states, _ = model.stream([model.words(ids.roll(shift, 0)), image])
            columns.append(model.match(states[:, 0])[:, 0])
    scores = torch.stack(columns, 1).numpy()
    return 1 / (scores >= scores[:, :1]).sum(1).astype(np.float64)


POINTS = [
    Point(
        system="uniter",
        claim="Hiding words while the whole picture is shown teaches to tell words from the picture",
        data=captioned,
        whole=WORDS,
        ablation=f"{WORDS};conditional=false",
        judge=word_likelihood,
        supervision="self",
        readers=READERS,
    ),
    Point(
        system="uniter",
        claim="Transport between words and regions makes matching better",
        data=catalogue,
        whole=SIZES,
        ablation=f"{SIZES};wra=0",
        judge=matching_rank,
        supervision="self",
        readers=SMALL,
    ),
]
