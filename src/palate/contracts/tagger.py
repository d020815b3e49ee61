"""The contract of tagging: which labels does this content deserve?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.contracts.model import Model
from palate.core.content import Features
from palate.core.errors import UnsupportedError


class Tagger(Model):
    """A system that gives items labels from their content.

    Attributes:
        column: attribute column whose values are the labels.
    """

    task_name: ClassVar[str] = "tag"
    column: str

    def labels(self) -> Sequence[str]:
        """Labels that it can give, in the order of the probabilities.

        Raises:
            UnsupportedError: for a model that does not tag.
        """
        raise UnsupportedError(f"{self.name} does not tag")

    def tag(self, content: Mapping[str, Features]) -> NDArray[np.float32]:
        """Probabilities float32 [n, labels] of ``n`` items.

        Args:
            content: features by name, ``n`` rows each.

        Raises:
            UnsupportedError: for a model that does not tag.
        """
        raise UnsupportedError(f"{self.name} does not tag")
