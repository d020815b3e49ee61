"""Encoders whose vectors are made of those of other encoders, which the store keeps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import Raw
from palate.features.encoders.base import ContentEncoder, FittedContentEncoder

Encode = Callable[[ContentEncoder, Sequence[Raw]], Features]
"""Vectors of raw content by an encoder, from the store where it has them."""


class DerivedEncoder(FittedContentEncoder):
    """An encoder over others of the same modality, which are not fitted and give one vector each."""

    @property
    @abstractmethod
    def parts(self) -> tuple[ContentEncoder, ...]:
        """The other encoders; content that one of them cannot read is absent."""

    @abstractmethod
    def derive(self, values: list[NDArray[np.generic]]) -> NDArray[np.float32]:
        """Vectors float32 [n, d] from those of each part, [n, d of the part]."""

    def read(self, raw: Raw) -> Any:
        contents = tuple(part.read(raw) for part in self.parts)
        return None if any(content is None for content in contents) else contents

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        return self.derive([np.asarray(p.embed([one[i] for one in contents])) for i, p in enumerate(self.parts)])

    def encode_parts(self, found: Sequence[Features]) -> Features:
        """The vectors that :meth:`encode` gives, from those of the parts for the same entities.

        Args:
            found: features of each part.
        """
        present = np.logical_and.reduce([one.present for one in found])
        values = np.zeros((len(present), self.dim), np.float32)
        if present.any():
            values[present] = self.derive([one.values[present] for one in found])
        return Features(values, present, self.kind, None, self.identity, self.fitted_on)

    def fit_stored(self, encode: Encode, batch: Sequence[Raw], texts: Sequence[Raw]) -> None:
        """Do what :meth:`fit` does, with vectors that are kept.

        Args:
            encode: gives the vectors of other encoders.
            batch: content of this encoder's modality that may be seen.
            texts: of the same entities.
        """
        self.fit(batch)
