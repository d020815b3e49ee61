"""Codebooks of pictures and sounds, learnt before their codes are prediction targets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Phase
from palate.core.batch import ExampleBatch, IntArray
from palate.core.config import TrainedConfig
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.modules.cells import CellAutoencoder

INIT_ITEMS = 256


class CodebookConfig(TrainedConfig):
    """Settings of systems that predict codes."""

    codes: int = Field(256, ge=2, description="size of each modality's codebook")
    code_epochs: int = Field(15, ge=0, description="epochs of the phase that learns the codebooks")
    code_lr: float = Field(2e-3, gt=0, description="learning rate of the phase that learns the codebooks")


class Codebooks(nn.Module):
    """One :class:`CellAutoencoder` for each modality; codebooks start at the untrained coders' vectors of some items.

    Args:
        inputs: inputs of the items.
        modalities: ``image``, ``audio``, or both.
        rows: items to start from.
        codes: size of each codebook.
        generator: picks the first codes.
    """

    def __init__(
        self, inputs: ItemInputs, modalities: Sequence[str], rows: IntArray, codes: int, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.inputs = inputs
        self.books = nn.ModuleDict({m: CellAutoencoder(inputs.features[m].dim, codes) for m in modalities})
        for modality, book in self.books.items():
            present = torch.from_numpy(rows[inputs.present(modality)[rows]][:INIT_ITEMS])
            if len(present) and isinstance(book, CellAutoencoder):
                with torch.no_grad():
                    vectors = book.vectors(inputs.read(modality, present))
                book.quantise.initialize(vectors.flatten(0, 1), generator)

    def ids(self, modality: str, rows: Tensor) -> Tensor:
        """Codes int64 [B, R] of items that have the modality."""
        book = self.books[modality]
        assert isinstance(book, CellAutoencoder)
        return book.ids(self.inputs.read(modality, rows))

    def loss(self, batch: ExampleBatch) -> dict[str, Tensor]:
        """Reconstruction error of each modality, and ``loss``, the mean over the modalities that the batch has."""
        rows, out = batch.rows[:, 0], {}
        for modality, book in self.books.items():
            present = rows[torch.from_numpy(self.inputs.present(modality)).to(rows.device)[rows]]
            if len(present):
                out[modality] = book(self.inputs.read(modality, present))[1]
        if not out:
            return {"loss": torch.stack([p.sum() for p in self.parameters()]).sum() * 0}
        return {"loss": torch.stack([*out.values()]).mean(), **out}

    def phases(self, config: CodebookConfig) -> list[Phase]:
        """The phase that learns the codebooks, if there are any; it is not validated."""
        parameters = [*self.parameters()]
        if not parameters or not config.code_epochs:
            return []
        return [Phase("codes", self.loss, parameters, config.code_lr, epochs=config.code_epochs, validate=False)]
