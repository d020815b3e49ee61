"""What systems of pictures with texts share: inputs, what is held out to judge, what is trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.core.model import Pretrainer
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.streams import FIRST_WORD, StreamConfig

if TYPE_CHECKING:
    from palate.data.views import TrainView


class PictureText(Pretrainer):
    """Examples are single items; ``judged`` of those with picture and text at most are held out."""

    judged: ClassVar[int] = 1000

    class Config(StreamConfig):
        """Settings; ``held`` is a share of the items with picture and text."""

        batch_size: int = Field(128, ge=2)

    def reads(self) -> tuple[str, ...]:
        return ("text", "image")

    def setup(self, train: TrainView) -> None:
        c = self.config
        self.inputs = ItemInputs(train.features)
        missing = [m for m in ("text", "image") if m not in self.inputs]
        if missing:
            raise ConfigError(f"{self.name} needs items with {missing[0]}", key="model", hint="see palate check DATA")
        text, image = (self.inputs.present(m) for m in ("text", "image"))
        both = np.flatnonzero(text & image)
        if len(both) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both picture and text", key="model")
        order = rng_for(train.seed, "held", self.name).permutation(both)
        self.kept = np.sort(order[: min(int(c.held * len(both)), self.judged)])
        self.trained = np.setdiff1d(np.flatnonzero(self.useful(text, image)), self.kept)
        found = self.inputs.network("text", c.dim, c.layers)
        self.vocabulary, self.length = max(int(found["vocabulary"]), FIRST_WORD + 1), int(found["length"])

    def useful(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Items to train on, given which have text and which have a picture."""
        return text & image

    def examples(self, view: TrainView) -> IntArray:
        return self.trained[:, None]

    def has(self, modality: str, rows: Tensor) -> Tensor:
        """Bool [B]: which of ``rows`` have the modality."""
        return torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T]."""
        return self.inputs.read("text", rows).long()
