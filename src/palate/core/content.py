"""What an encoder returns and what models read: vectors with an explicit mask of what is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .errors import FeatureError

Kind = Literal["pooled", "tokens", "map"]
MODALITIES = ("text", "image", "audio", "video", "attributes")


@dataclass(frozen=True, eq=False)
class Features:
    """Encoded content of ``n`` entities.

    Attributes:
        values: ``pooled`` [n, d]; ``tokens`` [sum of lengths, d], concatenated; ``map`` [n, C, H, W]. float16/32.
            Rows of absent entities are zero and must be read through ``present``.
        present: bool [n]; False where the entity has no such content; all are present if not given.
        lengths: int [n], for ``tokens`` only.
        identity: encoder identity, version and preprocessing that made them.
        fitted_on: hash of what a fitted encoder saw, None for encoders that fit nothing.
        network: for inputs of a network that exists, what makes one like it (``palate.modules.towers.make_tower``).
    """

    values: NDArray
    present: NDArray[np.bool_] = None  # type: ignore[assignment]
    kind: Kind = "pooled"
    lengths: NDArray[np.int64] | None = None
    identity: str = ""
    fitted_on: str | None = None
    network: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        rows = len(self.values) if self.kind != "tokens" else len(self.lengths if self.lengths is not None else ())
        if self.present is None:
            object.__setattr__(self, "present", np.ones(rows, bool))
        if rows != len(self.present):
            raise FeatureError(f"{rows} rows of values but a mask of {len(self.present)}", key=self.identity or None)

    def __len__(self) -> int:
        return len(self.present)

    @property
    def dim(self) -> int:
        """Width of one vector."""
        return int(self.values.shape[1])

    def take(self, rows: NDArray[np.int64]) -> Features:
        """The features of ``rows``, in that order.

        Raises:
            FeatureError: for tokens without lengths.
        """
        rows = np.asarray(rows, dtype=np.int64)
        if self.kind == "tokens":
            if self.lengths is None:
                raise FeatureError("tokens need lengths")
            starts = np.concatenate([[0], np.cumsum(self.lengths)])
            picked = np.concatenate([np.arange(starts[r], starts[r + 1]) for r in rows] or [np.arange(0)])
            return replace(self, values=self.values[picked], present=self.present[rows], lengths=self.lengths[rows])
        return replace(self, values=self.values[rows], present=self.present[rows])

    def mask_rows(self, visible: NDArray[np.bool_]) -> Features:
        """A copy in which entities outside ``visible`` [n] are absent (values zeroed).

        Raises:
            FeatureError: for tokens, which cannot be masked by row.
        """
        if self.kind == "tokens":
            raise FeatureError("tokens cannot be hidden by row; encode again", key=self.identity or None)
        keep = np.asarray(visible, dtype=bool)
        values = np.where(keep.reshape(-1, *[1] * (self.values.ndim - 1)), self.values, 0).astype(self.values.dtype)
        return replace(self, values=values, present=self.present & keep)


def modalities_of(
    content: Mapping[str, Features], sources: Mapping[str, tuple[str, ...]], modalities: Sequence[str]
) -> NDArray[np.bool_]:
    """Which entities have which modality: bool [modalities, n], whether any feature made of it alone is present.

    Args:
        content: features by name, n rows each.
        sources: feature name -> the modalities it is made of.
        modalities: rows of the result.
    """
    here = np.zeros((len(modalities), len(next(iter(content.values())))), bool)
    for name, found in content.items():
        if len(sources[name]) == 1:
            here[modalities.index(sources[name][0])] |= found.present
    return here


def modality_dropout_mask(draws: NDArray[np.floating], present: NDArray[np.bool_], rate: float) -> NDArray[np.bool_]:
    """Which modalities entities keep when each is lost with probability ``rate``; at least one is kept.

    What is lost at one rate is lost at every higher one.

    Args:
        draws: uniform [0, 1), [modalities, n]; 1 or more is never lost.
        present: bool [modalities, n].
        rate: probability of losing a modality.

    Returns:
        bool [modalities, n], False where not present.
    """
    last = np.where(present, draws, -1.0).argmax(axis=0)
    kept: NDArray[np.bool_] = present & ((draws >= rate) | (np.arange(len(draws))[:, None] == last))
    return kept


def check_finite(features: Features, key: str) -> None:
    """Refuse a present vector that is not finite, by row and column; O(values), a block of rows at a time.

    Raises:
        FeatureError: for the first such value.
    """
    for start in range(0, len(features) if features.kind != "tokens" else 0, 8192):
        rows = slice(start, start + 8192)
        bad = ~np.isfinite(features.values[rows]) & features.present[rows].reshape(
            -1, *[1] * (features.values.ndim - 1)
        )
        if bad.any():
            at = np.argwhere(bad)[0]
            raise FeatureError(
                f"a vector holds {features.values[rows][tuple(at)]}",
                row=start + int(at[0]) + 1,
                column=str(int(at[1])),
                key=key,
                hint="repair it, or mark the row as absent",
            )


def concat(first: Features, second: Features) -> Features:
    """Rows of ``first``, then of ``second``, which must come from the same encoder.

    Raises:
        FeatureError: for features of different encoders.
    """
    if first.kind != second.kind or first.identity != second.identity:
        raise FeatureError(f"cannot join {first.identity!r} and {second.identity!r}")
    lengths = None
    if first.lengths is not None and second.lengths is not None:
        lengths = np.concatenate([first.lengths, second.lengths])
    values = np.concatenate([first.values, second.values])
    return replace(first, values=values, present=np.concatenate([first.present, second.present]), lengths=lengths)


def pad_rows(features: Features, rows: int) -> Features:
    """``rows`` absent entities appended."""
    values = features.values
    if features.kind != "tokens":
        values = np.concatenate([values, np.zeros((rows, *values.shape[1:]), values.dtype)])
    lengths = None if features.lengths is None else np.concatenate([features.lengths, np.zeros(rows, np.int64)])
    return replace(features, values=values, present=np.append(features.present, np.zeros(rows, bool)), lengths=lengths)
