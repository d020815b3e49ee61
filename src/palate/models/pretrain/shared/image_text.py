"""Systems of pictures with texts: inputs, items that train, items held out for validation."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from palate.contracts import Pretrainer
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.core.errors import ConfigError
from palate.core.seeding import rng_for
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.streams import FIRST_WORD, StreamConfig

if TYPE_CHECKING:
    from palate.data.views import TrainView


class ImageTextPretrainer(Pretrainer):
    """Examples are single items; validation is on items with both picture and text.

    Attributes:
        max_eval_items: items held out at most.
        eval_items: int64, rows of the held-out items, sorted.
        train_items: int64, rows of the items that train, sorted.
    """

    max_eval_items: ClassVar[int] = 1000

    class Config(StreamConfig):
        """Settings of systems of pictures with texts; ``held`` is a share of the items with both."""

        batch_size: int = Field(128, ge=2, description="items a step")

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("text", "image")

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Take the inputs, and hold out items.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items lack text or pictures, or fewer than 2 items have both.
        """
        c = self.config
        self.inputs = ItemInputs(train.features)
        missing = [m for m in ("text", "image") if m not in self.inputs]
        if missing:
            raise ConfigError(f"{self.name} needs items with {missing[0]}", key="model", hint="see palate check DATA")
        text, image = (self.inputs.present(m) for m in ("text", "image"))
        both = np.flatnonzero(text & image)
        if len(both) < 2:
            raise ConfigError(f"{self.name} needs at least 2 items with both picture and text", key="model")
        order = rng_for(run.seed, "held", self.name).permutation(both)
        self.eval_items = np.sort(order[: min(int(c.held * len(both)), self.max_eval_items)])
        self.train_items = np.setdiff1d(np.flatnonzero(self.trainable(text, image)), self.eval_items)
        network = self.inputs.network("text", c.dim, c.layers)
        self.vocabulary, self.length = max(int(network["vocabulary"]), FIRST_WORD + 1), int(network["length"])

    def trainable(self, text: NDArray[np.bool_], image: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Items to train on, bool [n_items], given those with text and those with a picture."""
        return text & image

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        return self.train_items[:, None]

    def has(self, modality: str, rows: Tensor) -> Tensor:
        """Bool [B]: which of ``rows`` have the modality."""
        return torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T]."""
        return self.inputs.read("text", rows).long()
