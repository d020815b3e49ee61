"""What all encoders of raw content share: read one entity, embed many, keep failures apart by row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import Encoder, FittedEncoder, Raw
from palate.core.errors import FeatureError, UnsupportedError
from palate.modules.network import Network

TRAINABLE = "palate pretrain makes encoders that can be trained; so are minilm and hf:<checkpoint> of most types"


@dataclass(frozen=True)
class EncodingFailure:
    """Content that could not be encoded: 0-based ``row``, the ``reason``, and the ``file`` where there is one."""

    row: int
    reason: str
    file: str | None = None


class ContentEncoder(Encoder):
    """An encoder in two steps, so that one bad entity never costs the batch.

    Attributes:
        options: constructor arguments, enough to build the encoder again.
        zero_is_absent: a zero vector means that nothing in the content is known to the encoder; such rows are absent.
    """

    zero_is_absent: ClassVar[bool] = False
    options: dict[str, Any]

    @abstractmethod
    def read(self, raw: Raw) -> Any:
        """Decode one entity and reduce it to what :meth:`embed` needs; None where there is nothing to encode.

        Raises:
            FeatureError: with the reason, where the content is unusable.
        """

    @abstractmethod
    def embed(self, contents: list[Any]) -> NDArray | list[NDArray]:
        """Encode what :meth:`read` returned: pooled [n, d], map [n, C, H, W], or n token matrices [T, d]."""

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.options)

    @property
    def reader(self) -> ContentEncoder:
        """What reads raw content into the inputs of :meth:`network`.

        Raises:
            UnsupportedError: for encoders that cannot be trained.
        """
        raise UnsupportedError(f"the encoder {self.name} has nothing to train", hint=TRAINABLE)

    def network(self) -> Network:
        """A copy of the encoder's network, from the reader's vectors to its own."""
        raise UnsupportedError(f"the encoder {self.name} has nothing to train", hint=TRAINABLE)

    @property
    def trainable(self) -> bool:
        """Whether it has a :meth:`network`."""
        return type(self).network is not ContentEncoder.network

    def copy_files(self, folder: Path) -> None:
        """Put files that the encoder cannot work without into ``folder`` (weights that exist only locally)."""
        return

    def encode(self, batch: Sequence[Raw]) -> Features:
        """Encode ``batch``; None comes back absent.

        Raises:
            FeatureError: for the first unusable entity, with its 1-based row in the batch.
        """
        features, failures = self.encode_valid(batch)
        if failures:
            raise FeatureError(failures[0].reason, file=failures[0].file, row=failures[0].row + 1)
        return features

    def encode_valid(self, batch: Sequence[Raw]) -> tuple[Features, list[EncodingFailure]]:
        """Encode what can be encoded; the other rows are absent and listed with their reasons."""
        rows, contents, failures = [], [], []
        for row, raw in enumerate(batch):
            try:
                content = None if raw is None else self.read(raw)
            except FeatureError as error:
                failures.append(EncodingFailure(row, error.message, error.file))
                continue
            if content is not None:
                rows.append(row)
                contents.append(content)
        return self._assembled(len(batch), np.array(rows, dtype=np.int64), contents, failures)

    def _assembled(
        self, n: int, rows: NDArray[np.int64], contents: list[Any], failures: list[EncodingFailure]
    ) -> tuple[Features, list[EncodingFailure]]:
        present = np.zeros(n, bool)
        made = self.embed(contents) if contents else []
        good = np.array([bool(np.isfinite(one).all()) for one in made], dtype=bool)
        if self.zero_is_absent:
            known = np.array([bool(np.any(one)) for one in made], dtype=bool)
        else:
            known = np.ones(len(good), bool)
        failures += [EncodingFailure(int(row), f"{self.name} gave non-finite values") for row in rows[~good]]
        keep = good & known
        present[rows[keep]] = True
        failures.sort(key=lambda failure: failure.row)
        if self.kind == "tokens":
            parts = [np.asarray(one, np.float32) for one, wanted in zip(made, keep, strict=True) if wanted]
            lengths = np.zeros(n, np.int64)
            lengths[rows[keep]] = [len(part) for part in parts]
            values = np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)
            return Features(values, present, "tokens", lengths, self.identity, self.fitted_on), failures
        dense = np.asarray(made, np.float32) if len(made) else np.zeros((0, self.dim), np.float32)
        values = np.zeros((n, *dense.shape[1:]), np.float32)
        values[rows[keep]] = dense[keep]
        return Features(values, present, self.kind, None, self.identity, self.fitted_on), failures


class FittedContentEncoder(ContentEncoder, FittedEncoder):
    """A :class:`ContentEncoder` with statistics from data."""

    @property
    def ready(self) -> bool:
        """Whether :meth:`fit` or :meth:`load_state` has been called."""
        return self.fitted_on is not None

    def contents(self, batch: Sequence[Raw]) -> list[Any]:
        """What can be read of ``batch``; absent and unusable entities are left out."""
        found = []
        for raw in batch:
            try:
                content = None if raw is None else self.read(raw)
            except FeatureError:
                continue
            if content is not None:
                found.append(content)
        return found
