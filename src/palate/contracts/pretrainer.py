"""The contract of pretraining: what does content look like here?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from torch import nn

from palate.batches.examples import ExampleBatches
from palate.contracts.model import Model
from palate.contracts.phase import Phase
from palate.contracts.spec import Requirements
from palate.core.batch import BatchSource, IntArray
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import UnsupportedError
from palate.core.registry import Registry
from palate.data.catalog import Catalog
from palate.data.views import TrainView


class Pretrainer(Model):
    """A system that learns encoders on a catalogue's own content, behaviour and graphs.

    Attributes:
        default_readers: modality -> its reader unless the caller names one, where that differs from the usual reader.
        supports_init: its towers can start from an existing encoder.
        pretrained_parameters: weights that did.
        pretrained_lr_scale: factor on their learning rate.
    """

    task_name: ClassVar[str] = "pretrain"
    stage: ClassVar[str] = "pretrain"
    requirements: ClassVar[Requirements] = Requirements(content=True)
    default_readers: ClassVar[Mapping[str, str]] = {}
    supports_init: ClassVar[bool] = False
    pretrained_parameters: Sequence[nn.Parameter] = ()
    pretrained_lr_scale: float = 1.0

    def phases(self) -> list[Phase]:
        """Stages of training; pretrained weights move ``pretrained_lr_scale`` times as fast."""
        return [
            replace(phase, groups=phase.slowed(self.pretrained_parameters, self.pretrained_lr_scale))
            for phase in super().phases()
        ]

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Rows of items that :meth:`examples` chooses."""
        return ExampleBatches(self.examples(train, run))

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        """Single columns to encode in addition to whole modalities.

        Args:
            items: the catalogue.

        Returns:
            Name in ``TrainView.fields`` -> (modality to read them as, reader, columns); the reader ``as:text`` is the
            one of all texts.
        """
        return {}

    def reads(self) -> tuple[str, ...]:
        """Modalities that it can learn from; others are not even encoded."""
        return ("text", "image", "audio")

    def examples(self, view: TrainView, run: RunContext) -> IntArray:
        """Rows of items int64 [n, m], one a training example; held-out ones are left out.

        Args:
            view: all that training may see.
            run: seed of what is drawn.
        run: seed of what is drawn.

        Raises:
            UnsupportedError: for a model without examples.
        """
        raise UnsupportedError(f"{self.name} has no examples")

    def validation_score(self) -> float:
        """Retrieval on held-out examples, the higher the better; decides when to stop and which epoch is kept.

        Returns:
            NaN where nothing is held out: then all epochs are run and the last is kept.

        Raises:
            UnsupportedError: for a model that holds nothing out.
        """
        raise UnsupportedError(f"{self.name} has no validation score")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        """Encoders for the feature store, by modality.

        Args:
            readers: modality -> the encoder that read the raw content.
            fitted_on: hash of what was learnt from.

        Raises:
            UnsupportedError: for a model that exports none.
        """
        raise UnsupportedError(f"{self.name} exports no encoder")


pretrainers: Registry[type[Pretrainer]] = Registry("pretrainer", ("palate.models.pretrain",), "palate.pretrainers")
