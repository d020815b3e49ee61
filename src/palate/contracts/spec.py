"""What a model can do, what it must be given, and the sizes it is built from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from palate.core.content import Features
from palate.core.tuning import Fusion


@dataclass(frozen=True)
class Capabilities:
    """What a model can do without retraining; each flag is tested both ways.

    Attributes:
        new_items: scores items added after fitting, from their content.
        new_users: scores users it never saw, from their history.
        missing_modalities: accepts items that lack some or all content.
        content: reads content at all.
        tuning: can train the encoders that read its content.
        fusion: where modalities may meet; empty for models that read none.
    """

    new_items: bool = False
    new_users: bool = False
    missing_modalities: bool = True
    content: bool = False
    tuning: bool = False
    fusion: tuple[Fusion, ...] = ()


@dataclass(frozen=True)
class Requirements:
    """What a model must be given.

    Attributes:
        content: at least one content feature or given item graph.
        dense: at least one dense content feature (a stand-in is made from a given k-NN graph).
        fields: content column by column as well (``TrainView.fields``).
        queries: search queries, encoded as texts are (``TrainView.query_features``).
        labels: events that carry a label, such as clicked or not (``TrainView.events``).
        artifacts: name -> kind of what another run must have left behind (semantic ids, a codebook, a vocabulary).
    """

    content: bool = False
    dense: bool = False
    fields: bool = False
    queries: bool = False
    labels: bool = False
    artifacts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class InputSpec:
    """Sizes from which a model builds its parts.

    Attributes:
        n_users: rows of the user table.
        n_items: rows of the item table.
        features: content feature -> width.
        fields: field of a labelled event -> number of its ids, 0 for a numeric field; of a matcher that reads single
            columns, feature of a column -> width.
        maps: feature of maps -> their channels, height and width.
    """

    n_users: int
    n_items: int
    features: Mapping[str, int] = field(default_factory=dict)
    fields: Mapping[str, int] = field(default_factory=dict)
    maps: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @staticmethod
    def map_shapes(features: Mapping[str, Features]) -> dict[str, tuple[int, ...]]:
        """Shapes of the features that are maps.

        Args:
            features: by name.
        """
        return {name: tuple(found.values.shape[1:]) for name, found in features.items() if found.kind == "map"}
