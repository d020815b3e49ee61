"""Items as ids of words and vectors of pictures, one row an item and an empty row for none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.models.generate.shared.columns import ItemColumns
from palate.modules.text_generation.words import Lexicon

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class TextSizes:
    """Words that are read of each text.

    Attributes:
        title: of titles.
        body: of running texts.
        attributes: of attribute values.
    """

    title: int
    body: int
    attributes: int


@dataclass(frozen=True, eq=False)
class ItemTable:
    """Items as networks read them; the last row is an empty item, which -1 stands for.

    Attributes:
        title: int64 [n + 1, words].
        body: int64 [n + 1, words].
        attributes: int64 [n + 1, words].
        image: float32 [n + 1, d]; d may be 0.
        has_image: bool [n + 1].
    """

    title: IntArray
    body: IntArray
    attributes: IntArray
    image: NDArray[np.float32]
    has_image: NDArray[np.bool_]

    @classmethod
    def build(
        cls,
        rows: Sequence[Mapping[str, Any]],
        columns: ItemColumns,
        lexicon: Lexicon,
        sizes: TextSizes,
        images: Features | None,
        width: int,
    ) -> ItemTable:
        """Read items.

        Args:
            rows: columns of each item.
            columns: which of them are what.
            lexicon: ids of words; it takes up those that are new.
            sizes: words that are read.
            images: vectors of pictures of the items, where known.
            width: of the vectors.
        """
        texts = {
            "title": lexicon.ids([*(columns.title_of(row) for row in rows), None], sizes.title),
            "body": lexicon.ids([*(columns.body_of(row) for row in rows), None], sizes.body),
            "attributes": lexicon.ids([*(columns.attributes_of(row) for row in rows), None], sizes.attributes),
        }
        image, present = np.zeros((len(rows) + 1, width), np.float32), np.zeros(len(rows) + 1, bool)
        if images is not None and width:
            # a vector of zeros tells nothing, and has no angle to others
            present[:-1] = images.present & np.any(images.values, 1)
            image[:-1] = np.where(present[:-1, None], images.values, 0)
        return cls(**texts, image=image, has_image=present)

    def __len__(self) -> int:
        return len(self.title) - 1
