"""Principal components of another encoder's vectors: ``pca:minilm?dim=64``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import Encoder, Raw, encoders
from palate.core.errors import ConfigError, FeatureError, NotFittedError
from palate.core.files import digest
from palate.features.encoders.base import ContentEncoder, FittedContentEncoder
from palate.features.encoders.derived import DerivedEncoder, Encode

_BATCH = 256


@encoders.register("pca")
class Pca(DerivedEncoder):
    """Centred projection on the leading principal components of the vectors of an inner encoder, itself not fitted.

    Args:
        of: the inner encoder.
        dim: components at most.
        whiten: give every component unit variance.

    Raises:
        ConfigError: for an inner encoder that is fitted or gives no vectors, or fewer than one component.
    """

    name, version = "pca", 1

    def __init__(self, of: Encoder, dim: int = 128, whiten: bool = False) -> None:
        if not isinstance(of, ContentEncoder) or isinstance(of, FittedContentEncoder) or of.kind != "pooled":
            raise ConfigError("pca works on encoders that fit nothing and give pooled vectors", key=of.name)
        if dim < 1:
            raise ConfigError(f"at least one component is needed, not {dim}", key="dim")
        self.of, self.modality = of, of.modality
        self.options: dict[str, Any] = {"dim": dim, "whiten": whiten}
        self.mean: NDArray[np.float64] | None = None
        self.components: NDArray[np.float64] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        return {**self.options, "of": self.of.identity}

    @property
    def dim(self) -> int:
        if self.components is None:
            return min(int(self.options["dim"]), self.of.dim)
        return int(self.components.shape[1])

    @property
    def parts(self) -> tuple[ContentEncoder, ...]:
        assert isinstance(self.of, ContentEncoder)
        return (self.of,)

    def derive(self, values: list[NDArray[np.generic]]) -> NDArray[np.float32]:
        if self.mean is None or self.components is None:
            raise NotFittedError("the encoder pca is not fitted", hint="call fit(raws) or load_encoder(folder)")
        return ((np.asarray(values[0], np.float64) - self.mean) @ self.components).astype(np.float32)

    def fit_stored(self, encode: Encode, batch: Sequence[Raw], texts: Sequence[Raw]) -> None:
        self.fit_features([encode(self.of, batch)])

    def fit(self, batch: Sequence[Raw]) -> Pca:
        """Encode ``batch`` with the inner encoder and learn from the rows that have content.

        Raises:
            FeatureError: for fewer than 2 rows with content.
        """
        parts = [self.of.encode_valid(batch[start : start + _BATCH])[0] for start in range(0, len(batch), _BATCH)]
        return self.fit_features([part for part in parts if part.present.any()])

    def fit_features(self, parts: Sequence[Features]) -> Pca:
        """Learn from vectors that the inner encoder has already made (for example from the feature store).

        Args:
            parts: features of the inner encoder.

        Raises:
            FeatureError: for fewer than 2 rows with content.
        """
        rows = [np.asarray(part.values[part.present], np.float64) for part in parts]
        values = np.concatenate(rows) if rows else np.zeros((0, self.of.dim))
        if len(values) < 2:
            raise FeatureError("principal components need at least 2 rows with content", key=self.of.name)
        self.mean = values.mean(0)
        centred = values - self.mean
        variance, vectors = _principal(centred)
        order = np.argsort(-variance, kind="stable")[: self.options["dim"]]
        order = order[variance[order] > 1e-12 * max(float(variance.max()), 1e-300)]
        chosen = vectors(order)
        peak = np.take_along_axis(chosen, np.abs(chosen).argmax(0)[None], 0)
        chosen = chosen * np.where(peak < 0, -1.0, 1.0)
        self.components = chosen / np.sqrt(variance[order]) if self.options["whiten"] else chosen
        self.fitted_on = digest(self.of.identity, np.ascontiguousarray(values).tobytes())
        return self

    def state(self) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any]]:
        if self.mean is None or self.components is None:
            raise NotFittedError("the encoder pca is not fitted", hint="call fit(raws)")
        return {"mean": self.mean, "components": self.components}, {}

    def load_state(self, arrays: Mapping[str, NDArray[np.generic]], facts: Mapping[str, Any]) -> None:
        self.mean = np.asarray(arrays["mean"], np.float64)
        self.components = np.asarray(arrays["components"], np.float64)


def _principal(
    centred: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Callable[[NDArray[np.int64]], NDArray[np.float64]]]:
    """Variances, and a function to the unit directions of chosen ones, by the smaller of the two Gram matrices."""
    n, d = centred.shape
    if d <= n:
        variance, vectors = np.linalg.eigh(centred.T @ centred / (n - 1))
        return variance, lambda order: vectors[:, order]
    variance, weights = np.linalg.eigh(centred @ centred.T / (n - 1))
    return variance, lambda order: centred.T @ (weights[:, order] / np.sqrt((n - 1) * variance[order]))
