"""How one feature of items is encoded: which content, by which encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from palate.features.default_encoders import GIVEN

SAME_AS = "as:"
"""Prefix of ``FeatureSpec.encoder``: the encoder of another feature."""


class FeatureSpec(NamedTuple):
    """One feature of a content plan.

    Attributes:
        modality: modality that the content is read as.
        encoder: specification of an encoder, folder of a saved one, ``given:...`` for vectors that came with the data,
            or ``as:NAME`` for the encoder of the feature NAME.
        columns: columns that are read together; None reads all columns of the modality.
    """

    modality: str
    encoder: str
    columns: tuple[str, ...] | None = None

    @property
    def given(self) -> bool:
        """Whether the vectors came with the data, so that there is nothing to encode."""
        return self.encoder.startswith(GIVEN)

    def sources(self, kinds: Mapping[str, str]) -> tuple[str, ...]:
        """The modalities that the feature is made of.

        Args:
            kinds: column -> its modality.
        """
        if not self.columns:
            return (self.modality,)
        return tuple(dict.fromkeys(kinds.get(column, self.modality) for column in self.columns))


def feature_specs(entries: Mapping[str, Sequence[Any]]) -> dict[str, FeatureSpec]:
    """Feature specifications from (modality, encoder, columns), as plans were saved or are written by hand."""
    return {name: FeatureSpec(str(m), str(e), tuple(c) if c else None) for name, (m, e, c) in entries.items()}
