"""Codes of pictures and sounds, learnt before they are targets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.modules.cells import CellAutoencoder

from ._inputs import ItemInputs

SEEN = 256


class CodeConfig(TrainedConfig):
    """Settings.

    Attributes:
        codes: of each of pictures and sounds. code_epochs, code_lr: of the phase that learns them.
    """

    codes: int = Field(256, ge=2)
    code_epochs: int = Field(15, ge=0)
    code_lr: float = Field(2e-3, gt=0)


class MapCodes(nn.Module):
    """One :class:`CellAutoencoder` for each modality; books begin at what the untrained coders make of some items.

    Args:
        inputs: what readers made. modalities: pictures, sounds, or both. rows: items to begin from. codes: of each.
        generator: picks them.
    """

    def __init__(
        self, inputs: ItemInputs, modalities: Sequence[str], rows: IntArray, codes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.books = nn.ModuleDict({m: CellAutoencoder(inputs.features[m].dim, codes) for m in modalities})
        for modality, book in self.books.items():
            known = torch.from_numpy(rows[inputs.present(modality)[rows]][:SEEN])
            if len(known) and isinstance(book, CellAutoencoder):
                with torch.no_grad():
                    found = book.vectors(inputs.read(modality, known))
                book.quantise.initialize(found.flatten(0, 1), generator)

    def ids(self, modality: str, rows: Tensor) -> Tensor:
        """Codes int64 [B, R] of items that have the modality."""
        book = self.books[modality]
        assert isinstance(book, CellAutoencoder)
        return book.ids(self.inputs.read(modality, rows))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Each modality's error of drawing its maps again, mean over those that the batch has."""
        rows, out = batch.rows[:, 0], {}
        for modality, book in self.books.items():
            known = rows[torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]]
            if len(known):
                out[modality] = book(self.inputs.read(modality, known))[1]
        if not out:
            return {"loss": torch.stack([p.sum() for p in self.parameters()]).sum() * 0}
        return {"loss": torch.stack([*out.values()]).mean(), **out}

    def phases(self, config: CodeConfig) -> list[Phase]:
        """The phase that learns them, if there are any; nothing judges it."""
        parameters = [*self.parameters()]
        if not parameters or not config.code_epochs:
            return []
        return [Phase("codes", self.loss, parameters, config.code_lr, epochs=config.code_epochs, validate=False)]
