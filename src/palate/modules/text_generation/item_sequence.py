"""Items and words laid out in one row, with the item that each word belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from palate.modules.text_generation.interleaved import Interleaved
from palate.modules.text_generation.words import PAD


@dataclass
class ItemSequence:
    """A context in the making.

    Attributes:
        rows: B.
        device: of the tensors.
        ids: pieces int64 [B, l].
        owners: the item of each word, -1 for none.
        copied: words that can be copied.
        pictures: vectors [B, n, width].
        present: bool [B, n].
    """

    rows: int
    device: torch.device
    ids: list[Tensor] = field(default_factory=list)
    owners: list[Tensor] = field(default_factory=list)
    copied: list[Tensor] = field(default_factory=list)
    pictures: list[Tensor] = field(default_factory=list)
    present: list[Tensor] = field(default_factory=list)

    def add_items(self, marks: Tensor, words: Tensor, pictures: Tensor, present: Tensor, here: Tensor) -> None:
        """Add items one after the other, each its marks and its words.

        Args:
            marks: int64 [B, n, m], words that are not copied.
            words: int64 [B, n, l].
            pictures: [B, n, width].
            present: bool [B, n], pictures that are there.
            here: bool [B, n], items that are there; the others leave holes.
        """
        first = sum(part.shape[1] for part in self.present)
        both = torch.cat([marks, words], 2) * here[..., None]
        item = first + torch.arange(both.shape[1], device=self.device)
        self.ids.append(both.flatten(1))
        self.owners.append(item.repeat_interleave(both.shape[2]).expand(self.rows, -1))
        free = torch.cat([torch.zeros_like(marks, dtype=torch.bool), words != PAD], 2) & here[..., None]
        self.copied.append(free.flatten(1))
        self.pictures.append(pictures)
        self.present.append(present & here)

    def add_words(self, ids: Tensor, copied: bool) -> None:
        """Add words of no item.

        Args:
            ids: int64 [B, l].
            copied: whether they can be copied.
        """
        self.ids.append(ids)
        self.owners.append(torch.full_like(ids, -1))
        self.copied.append((ids != PAD) & copied)

    def context(self, extra: int) -> Interleaved:
        """All that was added.

        Args:
            extra: words of the batch beyond the vocabulary.
        """
        parts = (self.ids, self.owners, self.pictures, self.present, self.copied)
        ids, owner, pictures, present, copied = (torch.cat(part, 1) for part in parts)
        return Interleaved(ids, owner, pictures, present, copied, extra)
