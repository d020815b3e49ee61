"""Texts as ids of word pieces learnt from the catalogue, the inputs of text towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, content_key, encoders
from palate.core.errors import ConfigError, NotFittedError
from palate.features.encoders.base import FittedContentEncoder
from palate.features.encoders.text import clean_text
from palate.features.vocabulary import SPECIAL, Vocabulary


@encoders.register("pieces")
class WordPiece(FittedContentEncoder):
    """Ids [length] as whole float32 numbers, 0 beyond the text's end; see :mod:`palate.features.vocabulary`.

    Args:
        size: pieces at most.
        length: ids kept of each text.

    Raises:
        ConfigError: if there is no room for the special pieces.
    """

    name, modality, version = "pieces", "text", 2

    def __init__(self, size: int = 8000, length: int = 48) -> None:
        if size < len(SPECIAL) + 1 or length < 3:
            raise ConfigError(f"pieces needs a size above {len(SPECIAL)} and a length of 3 or more", key="size")
        self.options: dict[str, Any] = {"size": size, "length": length}
        self.vocabulary: Vocabulary | None = None

    @property
    def dim(self) -> int:
        return int(self.options["length"])

    def read(self, raw: Raw) -> str | None:
        return clean_text(raw) or None

    def fit(self, batch: Sequence[Raw]) -> WordPiece:
        self.vocabulary = Vocabulary.learn(self.contents(batch), int(self.options["size"]))
        self.fitted_on = content_key(batch)
        return self

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        if self.vocabulary is None:
            raise NotFittedError("the encoder pieces is not fitted", hint="call fit(raws) or load_encoder(folder)")
        return self.vocabulary.ids(contents, self.dim).astype(np.float32)

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        if self.vocabulary is None:
            raise NotFittedError("the encoder pieces is not fitted", hint="call fit(raws)")
        return {"size": np.array([len(self.vocabulary)])}, {"vocabulary": self.vocabulary.dump()}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        self.vocabulary = Vocabulary.load(str(facts["vocabulary"]))
