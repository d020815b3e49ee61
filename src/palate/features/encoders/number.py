"""One number as a feature, for models that measure distance along a column such as a year or a price."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.encoder import Raw, encoders
from palate.core.errors import FeatureError
from palate.features.encoders.base import ContentEncoder

LARGEST = float(np.finfo(np.float32).max)


@encoders.register("number")
class Number(ContentEncoder):
    """The one numeric value of an attribute mapping, [n, 1]; what is not a finite number in float32 is absent."""

    name, modality, version = "number", "attributes", 1

    def __init__(self) -> None:
        self.options: dict[str, Any] = {}

    @property
    def dim(self) -> int:
        return 1

    def read(self, raw: Raw) -> float | None:
        if not isinstance(raw, Mapping):
            raise FeatureError(f"attributes expected as a mapping, not {type(raw).__name__}")
        if len(raw) != 1:
            return None
        try:
            number = float(next(iter(raw.values())))
        except (TypeError, ValueError):
            return None
        return number if abs(number) <= LARGEST else None

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        return np.array(contents, dtype=np.float32).reshape(-1, 1)
