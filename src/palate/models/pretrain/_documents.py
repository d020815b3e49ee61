"""What systems share that learn an encoder of texts: words in one stream, one vector of a text, masked words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import Pretrainer
from palate.core.batch import IntArray
from palate.core.encoder import Encoder
from palate.core.errors import ConfigError
from palate.features.encoders.tower import Tower, tower_network, vectors_of
from palate.modules.masking import mask_words
from palate.modules.stream import SingleModalityStream, TokenEmbedding, WordHead

from ._inputs import ItemInputs
from ._streams import FIRST_WORD, HEADS, MASK, StreamConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from palate.data.views import TrainView

CHUNK = 256


def weighted(terms: Mapping[str, tuple[float, Callable[[], Tensor]]]) -> dict[str, Tensor]:
    """Terms by name, and ``loss``, their sum by weight; a term of weight 0 is not made."""
    made = {name: term() for name, (weight, term) in terms.items() if weight}
    return {"loss": torch.stack([terms[name][0] * found for name, found in made.items()]).sum(), **made}


class DocumentPretrainer(Pretrainer):
    """A text's vector is the mean of its words' states in a Transformer, by default as it is.

    ``texts``: how many texts of a reader's length are read in a row.
    """

    texts: ClassVar[int] = 1

    class Config(StreamConfig):
        """Settings of a Transformer over texts."""

        batch_size: int = Field(64, ge=2)

    config: Config

    def reads(self) -> tuple[str, ...]:
        return ("text",)

    def setup(self, train: TrainView) -> None:
        self.inputs = ItemInputs(train.features)
        if "text" not in self.inputs:
            raise ConfigError(f"{self.name} needs items with text", key="model", hint="see palate check DATA")
        self.told = self.inputs.present("text")
        self.given = self.inputs.network("text", self.config.dim, 1)
        self.length = self.inputs.features["text"].dim
        self.vocabulary = max(int(self.given.get("vocabulary", 0)), FIRST_WORD + 1)
        head = self.head()
        self.width = head.out_features
        self.part = tower_network(self.network(), self.width)
        self.part["head"] = head

    def network(self) -> dict[str, Any]:
        """Arguments of the tower."""
        c, d = self.config, self.config.dim
        words = {"kind": "words", "vocabulary": self.vocabulary, "dim": d, "length": self.texts * self.length}
        return {"kind": "stream", "reader": words, "dim": d, "layers": c.layers, "heads": HEADS}

    def head(self) -> nn.Linear:
        """From a text's mean state to its vector; the identity, which stays."""
        made = nn.Linear(self.config.dim, self.config.dim)
        nn.init.eye_(made.weight)
        nn.init.zeros_(made.bias)
        made.requires_grad_(False)
        return made

    @property
    def stream(self) -> SingleModalityStream:
        """What gives every word a state."""
        found = self.part["tower"]
        assert isinstance(found, SingleModalityStream)
        return found

    def ids(self, rows: Tensor) -> Tensor:
        """Token ids int64 [B, T] of all that is written about items."""
        return self.inputs.read("text", rows).long()

    def encode(self, rows: Tensor) -> Tensor:
        """Vectors float32 [B, width] of items with text; only their direction counts outside."""
        return vectors_of(self.part, self.ids(rows), unit=False)

    def encode_all(self, rows: IntArray) -> Tensor:
        """Vectors of length 1 of many items, without gradients."""
        with torch.inference_mode():
            parts = torch.from_numpy(rows).to(self.device).split(CHUNK)
            found = [F.normalize(self.encode(part), dim=1) for part in parts if len(part)]
        return torch.cat(found) if found else torch.zeros(0, self.width, device=self.device)

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        encoder = Tower(readers["text"], self.network(), self.width)
        return {"text": encoder.take_weights(self.part.state_dict(), fitted_on)}


class MaskedDocuments(DocumentPretrainer):
    """Texts some of whose words are hidden and guessed."""

    class Config(DocumentPretrainer.Config):
        """Settings.

        Attributes:
            masked: share of the words hidden.
        """

        masked: float = Field(0.15, gt=0, lt=1)

    config: Config

    def setup(self, train: TrainView) -> None:
        super().setup(train)
        self.guess = WordHead(self.config.dim, self.vocabulary)

    def hide(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids with some words corrupted, and which."""
        return mask_words(ids, self.config.masked, MASK, (FIRST_WORD, self.vocabulary))

    def guessed(self, states: Tensor, hidden: Tensor, ids: Tensor) -> Tensor:
        """Cross-entropy of the words that were hidden.

        Args:
            states: [B, T, d], of texts with words corrupted. hidden: bool [B, T]. ids: the truth, int64 [B, T].
        """
        words = self.stream.reader
        assert isinstance(words, TokenEmbedding)
        logits = self.guess(states[hidden], words.words.weight)
        return F.cross_entropy(logits, ids[hidden], reduction="sum") / hidden.sum().clamp(min=1)
