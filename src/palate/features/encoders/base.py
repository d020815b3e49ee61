"""Base of all encoders of raw content: read one entity, embed many, keep failures apart by row."""

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
from palate.features.media.source import VERSION
from palate.modules.network import Network

TRAINABLE = "palate pretrain makes encoders that can be trained; so are minilm and hf:<checkpoint> of most types"


@dataclass(frozen=True)
class EncodingFailure:
    """Content that could not be encoded.

    Attributes:
        row: 0-based row of the batch or catalogue.
        reason: for users.
        file: where there is one.
    """

    row: int
    reason: str
    file: str | None = None


class ContentEncoder(Encoder):
    """An encoder in two steps, so that one bad entity never costs the batch.

    Attributes:
        options: arguments of the constructor, from which the encoder can be built again.
        zero_is_absent: a zero vector means that nothing in the content is known to the encoder; such rows are absent.
    """

    zero_is_absent: ClassVar[bool] = False
    options: dict[str, Any]

    @abstractmethod
    def read(self, raw: Raw) -> Any:
        """Decode one entity and reduce it to the input of :meth:`embed`.

        Args:
            raw: content that is present.

        Returns:
            An input of :meth:`embed`; None if there is nothing to encode.

        Raises:
            FeatureError: with the reason, if the content is unusable.
        """

    @abstractmethod
    def embed(self, contents: list[Any]) -> NDArray | list[NDArray]:
        """Encode what :meth:`read` returned.

        Returns:
            float32: pooled [n, d], map [n, C, H, W], or n token matrices [T, d].
        """

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.options)

    @property
    def preprocessor(self) -> ContentEncoder:
        """The encoder that turns raw content into the inputs of :meth:`network`.

        Raises:
            UnsupportedError: for encoders that cannot be trained.
        """
        raise UnsupportedError(f"the encoder {self.name} has nothing to train", hint=TRAINABLE)

    def network(self) -> Network:
        """A copy of the encoder's network, from the preprocessor's vectors to its own.

        Raises:
            UnsupportedError: for encoders that cannot be trained.
        """
        raise UnsupportedError(f"the encoder {self.name} has nothing to train", hint=TRAINABLE)

    @property
    def trainable(self) -> bool:
        """Whether it has a :meth:`network`."""
        return type(self).network is not ContentEncoder.network

    @property
    def worth_keeping(self) -> bool:
        """Whether encoders built on it read its vectors from the store, so that its network runs once."""
        return self.trainable and self.kind == "pooled"

    def copy_files(self, folder: Path) -> None:
        """Copy files that the encoder needs and that exist only on this machine (weights) into ``folder``."""
        return

    def encode(self, batch: Sequence[Raw]) -> Features:
        """Encode ``batch``; rows of None are absent.

        Raises:
            FeatureError: for the first unusable entity, with its 1-based row in the batch.
        """
        features, failures = self.encode_valid(batch)
        if failures:
            raise FeatureError(failures[0].reason, file=failures[0].file, row=failures[0].row + 1)
        return features

    def encode_valid(self, batch: Sequence[Raw]) -> tuple[Features, list[EncodingFailure]]:
        """Encode the rows that can be encoded.

        Returns:
            Features in which the other rows are absent, and a failure for each unusable row.
        """
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
        embedded = self.embed(contents) if contents else []
        finite = np.array([bool(np.isfinite(values).all()) for values in embedded], dtype=bool)
        if self.zero_is_absent:
            known = np.array([bool(np.any(values)) for values in embedded], dtype=bool)
        else:
            known = np.ones(len(finite), bool)
        failures += [EncodingFailure(int(row), f"{self.name} gave non-finite values") for row in rows[~finite]]
        keep = finite & known
        present[rows[keep]] = True
        failures.sort(key=lambda failure: failure.row)
        if self.kind == "tokens":
            parts = [np.asarray(tokens, np.float32) for tokens, kept in zip(embedded, keep, strict=True) if kept]
            lengths = np.zeros(n, np.int64)
            lengths[rows[keep]] = [len(part) for part in parts]
            values = np.concatenate(parts) if parts else np.zeros((0, self.dim), np.float32)
            return Features(values, present, "tokens", lengths, self.identity, self.fitted_on), failures
        dense = np.asarray(embedded, np.float32) if len(embedded) else np.zeros((0, self.dim), np.float32)
        values = np.zeros((n, *dense.shape[1:]), np.float32)
        values[rows[keep]] = dense[keep]
        return Features(values, present, self.kind, None, self.identity, self.fitted_on), failures


class MediaEncoder(ContentEncoder):
    """A :class:`ContentEncoder` of media files whose :meth:`read` gives the vector or map itself."""

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.options, "decoding": VERSION}

    def embed(self, contents: list[Any]) -> NDArray[np.float32]:
        return np.stack(contents)


class FittedContentEncoder(ContentEncoder, FittedEncoder):
    """A :class:`ContentEncoder` whose statistics come from data."""

    @property
    def ready(self) -> bool:
        """Whether :meth:`fit` or :meth:`load_state` has been called."""
        return self.fitted_on is not None

    def contents(self, batch: Sequence[Raw]) -> list[Any]:
        """Inputs of :meth:`embed` for ``batch``; absent and unusable entities are left out."""
        readable = []
        for raw in batch:
            try:
                content = None if raw is None else self.read(raw)
            except FeatureError:
                continue
            if content is not None:
                readable.append(content)
        return readable
