"""Text encoders: tokens through one Transformer, one vector a text, masked language modelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.models.pretrain.shared.inputs import ItemInputs
from palate.models.pretrain.shared.streams import FIRST_WORD, HEADS, MASK, StreamConfig
from palate.modules.masking import mask_words
from palate.modules.stream import SingleModalityStream, TokenEmbedding, WordHead

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.views import TrainView

CHUNK = 256


def weighted_sum(terms: Mapping[str, tuple[float, Callable[[], Tensor]]]) -> dict[str, Tensor]:
    """Evaluate loss terms and their weighted sum.

    Args:
        terms: name -> (weight, function that computes the term); a term of weight 0 is not computed.

    Returns:
        The terms by name, and ``loss``, their weighted sum.
    """
    values = {name: term() for name, (weight, term) in terms.items() if weight}
    return {"loss": torch.stack([terms[name][0] * value for name, value in values.items()]).sum(), **values}


class DocumentPretrainer(Pretrainer):
    """A text's vector is the mean of its tokens' states in a Transformer, by default without a projection.

    Attributes:
        texts: texts of the reader's length that are read in a row.
        has_text: bool [n_items].
    """

    texts: ClassVar[int] = 1

    class Config(StreamConfig):
        """Settings of a Transformer over texts."""

        batch_size: int = Field(64, ge=2, description="items a step")

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("text",)

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Build the Transformer and the head.

        Args:
            train: training view.
            run: seed of what is drawn.

        Raises:
            ConfigError: if the items have no text.
        """
        self.inputs = ItemInputs(train.features)
        if "text" not in self.inputs:
            raise ConfigError(f"{self.name} needs items with text", key="model", hint="see palate check DATA")
        self.has_text = self.inputs.present("text")
        self.text_network = self.inputs.network("text", self.config.dim, 1)
        self.length = self.inputs.features["text"].dim
        self.vocabulary = max(int(self.text_network.get("vocabulary", 0)), FIRST_WORD + 1)
        head = self.head()
        self.width = head.out_features
        self.part = tower_network(self.network(), self.width)
        self.part["head"] = head

    def network(self) -> dict[str, Any]:
        """Arguments of :func:`palate.modules.towers.make_tower`."""
        c, d = self.config, self.config.dim
        words = {"kind": "words", "vocabulary": self.vocabulary, "dim": d, "length": self.texts * self.length}
        return {"kind": "stream", "reader": words, "dim": d, "layers": c.layers, "heads": HEADS}

    def head(self) -> nn.Linear:
        """Map from a text's mean state to its vector; by default the identity, which is not trained."""
        head = nn.Linear(self.config.dim, self.config.dim)
        nn.init.eye_(head.weight)
        nn.init.zeros_(head.bias)
        head.requires_grad_(False)
        return head

    @property
    def stream(self) -> SingleModalityStream:
        """Transformer that gives every token a state."""
        tower = self.part["tower"]
        assert isinstance(tower, SingleModalityStream)
        return tower

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T] of all texts of items."""
        return self.inputs.read("text", rows).long()

    def encode(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width] of items with text; exported encoders keep only their direction."""
        return vectors_of(self.part, self.ids(rows), unit=False)

    def encode_all(self, rows: IntArray) -> Tensor:
        """Unit vectors float32 [n, width] of many items, without gradients."""
        with torch.inference_mode():
            parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
            vectors = [F.normalize(self.encode(part), dim=1) for part in parts if len(part)]
        return torch.cat(vectors) if vectors else torch.zeros(0, self.width, device=self.device)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        encoder = Tower(readers["text"], self.network(), self.width)
        return {"text": encoder.load_weights(self.part.state_dict(), fitted_on)}


class MaskedDocuments(DocumentPretrainer):
    """Masked language modelling of texts."""

    class Config(DocumentPretrainer.Config):
        """Settings of masked language modelling."""

        masked: float = Field(0.15, gt=0, lt=1, description="share of the tokens masked")

    config: Config

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        self.guess = WordHead(self.config.dim, self.vocabulary)

    def mask_tokens(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Corrupt some tokens of ids int64 [B, T]; returns the ids and a bool mask of the corrupted ones."""
        return mask_words(ids, self.config.masked, MASK, (FIRST_WORD, self.vocabulary))

    def mlm_loss(self, states: Tensor, hidden: Tensor, ids: Tensor) -> Tensor:
        """Mean cross-entropy of masked tokens.

        Args:
            states: float [B, T, d], of texts with masked tokens.
            hidden: bool [B, T], masked tokens.
            ids: int64 [B, T], the true tokens.

        Returns:
            A scalar; 0 if none is masked.
        """
        words = self.stream.reader
        assert isinstance(words, TokenEmbedding)
        logits = self.guess(states[hidden], words.words.weight)
        return F.cross_entropy(logits, ids[hidden], reduction="sum") / hidden.sum().clamp(min=1)
