"""Training pairs and requests as one kind of example: an item, a history, words of the user, and a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.batch import Batch
from palate.data.views import TrainView
from palate.models.generate.shared.item_table import IntArray, ItemTable
from palate.modules.text_generation.copying import localize
from palate.modules.text_generation.words import UNKNOWN

TEXTS = ("title", "body", "attributes", "history_title", "history_attributes", "history_body", "persona", "question")
"""Texts of an example, in the order of the fields of a batch."""


@dataclass(frozen=True, eq=False)
class TextBatch(Batch):
    """Examples as tensors.

    Attributes:
        values: name -> [B, ...]: the :data:`TEXTS` as int64 ids, [B, words] or [B, N, words] for those of histories;
            ``target`` int64 [B, T]; ``item`` and ``history``, int64 rows of the table, -1 for none; ``image`` and
            ``history_image``, float32, with ``has_image`` and ``history_has_image``, bool.
        extra: words of the batch beyond the vocabulary; their ids follow those of the vocabulary.
        beyond: int64 [extra], the ids in the lexicon that these stand for.
    """

    values: Mapping[str, Tensor]
    extra: int
    beyond: Tensor

    def __len__(self) -> int:
        return len(self.values["item"])

    def __getitem__(self, name: str) -> Tensor:
        return self.values[name]

    def take(self, index: Tensor) -> TextBatch:
        """Some examples."""
        return TextBatch({name: value[index] for name, value in self.values.items()}, self.extra, self.beyond)


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples as rows of tables; a :class:`palate.core.batch.BatchSource`.

    Attributes:
        table: the items.
        item: int64 [n], rows of the table.
        history: int64 [n, N], rows of the table, oldest first, padded with -1 on the left.
        user: int64 [n], rows of ``persona``.
        persona: int64 [users, words].
        question: int64 [n, words].
        target: int64 [n, words], empty rows where there is none.
        copied: texts whose words a target may take beyond the vocabulary.
        vocabulary: size.
        hides_title: leave out the title of the item, which is the target.
    """

    table: ItemTable
    item: IntArray
    history: IntArray
    user: IntArray
    persona: IntArray
    question: IntArray
    target: IntArray
    copied: tuple[str, ...]
    vocabulary: int
    hides_title: bool = False
    sequential: bool = False

    def __len__(self) -> int:
        return len(self.item)

    def take(self, rows: IntArray) -> Examples:
        """Some examples.

        Args:
            rows: int64 row numbers.
        """
        parts = {name: getattr(self, name)[rows] for name in ("item", "history", "user", "question", "target")}
        return replace(self, **parts)

    def collate(self, rows: IntArray, rng: np.random.Generator) -> TextBatch:
        """A batch on the CPU.

        Args:
            rows: int64 [B].
            rng: not used.
        """
        item, history, t = self.item[rows], self.history[rows], self.table
        texts: dict[str, NDArray[Any]] = {
            "title": t.title[item], "body": t.body[item], "attributes": t.attributes[item],
            "history_title": t.title[history], "history_attributes": t.attributes[history],
            "history_body": t.body[history], "persona": self.persona[self.user[rows]], "question": self.question[rows],
        }  # fmt: skip
        arrays: dict[str, NDArray[Any]] = {
            "item": item, "history": history, "image": t.image[item], "has_image": t.has_image[item],
            "history_image": t.image[history], "history_has_image": t.has_image[history],
        }  # fmt: skip
        if self.hides_title:
            texts["title"] = np.zeros_like(texts["title"])
        tensors = {name: torch.from_numpy(_trim(array)) for name, array in texts.items()}
        # words of other texts become unknown where no text that can be copied has them
        order = [*self.copied, *(name for name in TEXTS if name not in self.copied)]
        copied, target, beyond = localize(
            [tensors[name] for name in self.copied], torch.from_numpy(_trim(self.target[rows])), self.vocabulary
        )
        others = [tensors[name].masked_fill(tensors[name] >= self.vocabulary, UNKNOWN) for name in order[len(copied) :]]
        values = dict(zip(order, [*copied, *others])) | {"target": target}
        values |= {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        return TextBatch(values, len(beyond), beyond)


@dataclass(frozen=True, eq=False)
class TrainingPairs:
    """Users and items that they took, each with what the user had taken before.

    Attributes:
        users: int64 [n].
        items: int64 [n].
        history: int64 [n, N], padded with -1 on the left.
        event: int64 [n], the place of each pair among the training positives.
    """

    users: IntArray
    items: IntArray
    history: IntArray
    event: IntArray

    @classmethod
    def of(cls, train: TrainView, longest: int) -> TrainingPairs:
        """All training positives, user by user.

        Args:
            train: the training view. Without times the history of a pair are the user's other items, with times the
                earlier ones; in neither case the item itself.
            longest: items of a history.
        """
        by = (train.items, train.users) if train.times is None else (train.items, train.times, train.users)
        order = np.lexsort(by)
        users, items = train.users[order], train.items[order]
        starts = np.searchsorted(users, users, "left")
        lengths = np.searchsorted(users, users, "right") - starts
        place = np.arange(len(users)) - starts
        back = np.arange(longest, 0, -1)
        earlier = place[:, None] - back
        if train.times is None:
            inside = back < lengths[:, None]
            earlier = earlier % lengths[:, None]
        else:
            inside = earlier >= 0
        history = np.where(inside, items[starts[:, None] + np.where(inside, earlier, 0)], -1)
        history = np.where(history == items[:, None], -1, history)
        return cls(users, items, history, order)


def _trim(ids: NDArray[Any]) -> NDArray[Any]:
    """Ids without the last positions where no text of the batch has a word."""
    used = np.flatnonzero(ids.reshape(-1, ids.shape[-1]).any(0)) if ids.size else ids
    return np.ascontiguousarray(ids[..., : int(used[-1]) + 1 if len(used) and ids.size else 1])


def pad_left(histories: Sequence[Sequence[int]], longest: int) -> IntArray:
    """Histories as a rectangle int64 [n, longest], the newest last, -1 before.

    Args:
        histories: rows, oldest first.
        longest: width; older items are left out.
    """
    out = np.full((len(histories), longest), -1, np.int64)
    for at, rows in enumerate(histories):
        newest = list(rows)[-longest:] if longest else []
        out[at, longest - len(newest) :] = newest
    return out
