"""The contract of everything that turns raw content into vectors."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .content import Features, Kind
from .files import digest
from .registry import Registry

Raw = str | bytes | Path | Mapping[str, Any] | None
"""One entity's raw content: text (str), media (a path or bytes), attributes (a mapping); None is absent."""


def content_key(batch: Iterable[Raw]) -> str:
    """Hash of the present content of ``batch``, in order: what a fitted encoder records as ``fitted_on``.

    Files count by name and size, so that a data folder may be moved.
    """
    parts: list[bytes | str] = []
    for raw in batch:
        if isinstance(raw, Path):
            parts.append(f"file:{raw.name}:{raw.stat().st_size if raw.is_file() else -1}")
        elif isinstance(raw, Mapping):
            parts.append(json.dumps(raw, sort_keys=True, default=str))
        elif raw is not None:
            parts.append(raw)
    return digest(*parts)


class Encoder(ABC):
    """Raw content -> :class:`Features`. Stateless unless it is a :class:`FittedEncoder`.

    Class attributes: ``name`` (registry), ``modality`` (one of ``MODALITIES``), ``kind``, ``version`` (raise it when
    the output changes).
    """

    name: str
    modality: str
    kind: Kind = "pooled"
    version: int = 1
    fitted_on: str | None = None

    @property
    def shared_space(self) -> str | None:
        """Names the space of its vectors if encoders of other modalities map into the same one; else None."""
        return None

    @property
    @abstractmethod
    def dim(self) -> int:
        """Width of one vector."""

    @property
    def settings(self) -> dict[str, Any]:
        """JSON-able settings that change the output; part of the identity."""
        return {}

    @property
    def identity(self) -> str:
        """Name, version, settings and what it was fitted on: equal identities give equal vectors."""
        tail = digest(json.dumps(self.settings, sort_keys=True), self.fitted_on or "")[:12]
        return f"{self.name}@{self.version}-{tail}"

    @abstractmethod
    def encode(self, batch: Sequence[Raw]) -> Features:
        """Encode ``batch``; None entries come back absent. Output must not depend on the rest of the batch."""


class FittedEncoder(Encoder):
    """An encoder whose statistics come from data (tf-idf, PCA). It never refits when items are added."""

    @abstractmethod
    def fit(self, batch: Sequence[Raw]) -> FittedEncoder:
        """Learn from ``batch`` (already restricted to what may be seen) and set ``fitted_on``."""

    @abstractmethod
    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        """Arrays and JSON-able facts from which :meth:`load_state` restores the encoder exactly."""

    @abstractmethod
    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        """Restore what :meth:`state` returned."""


encoders: Registry[type[Encoder]] = Registry("encoder", ("palate.features.encoders",), "palate.encoders")
