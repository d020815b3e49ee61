"""Pictures of a catalogue, small and in memory, with the tokens of what they show."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.data.catalog import Catalog
from palate.features.encoders.pixels import Pixels
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.modules.diffusion.network import to_bytes

BLOCK = 512
"""Pictures that are decoded at a time."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """The items that have a picture.

    Attributes:
        rows: int64 [n], rows of the catalogue, rising.
        place: int64 [n_items], place of each row in the other fields, -1 for none.
        pixels: uint8 [n, 3, side, side].
        attributes: int64 [n, a], attribute tokens, padded with 0.
        words: int64 [n, w], word tokens, padded with 0.
    """

    rows: IntArray
    place: IntArray
    pixels: Tensor
    attributes: Tensor
    words: Tensor

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def read(cls, items: Catalog, vocabulary: PictureVocabulary, side: int) -> PictureSet:
        """Decode the pictures of a catalogue; damaged ones are left out.

        Args:
            items: the catalogue; rows that may not be seen are empty.
            vocabulary: names the tokens.
            side: pixels.

        Raises:
            ConfigError: for a catalogue without pictures.
        """
        reader, kept, parts = Pixels(side), [], []
        raw = items.raw("image") if items.columns("image") else []
        for start in range(0, len(raw), BLOCK):
            found, _ = reader.encode_valid(raw[start : start + BLOCK])
            kept.append(start + np.flatnonzero(found.present))
            parts.append(to_bytes(torch.from_numpy(np.asarray(found.values[found.present], np.float32))))
        rows = np.concatenate(kept) if kept else np.zeros(0, np.int64)
        if not len(rows):
            raise ConfigError("the items have no pictures to learn from", key="data", hint="see palate check DATA")
        place = np.full(len(items), -1, np.int64)
        place[rows] = np.arange(len(rows))
        tables = (vocabulary.attribute_table(items)[rows], vocabulary.word_table(items)[rows])
        return cls(rows, place, torch.cat(parts), *map(torch.from_numpy, tables))
