"""Content taken away at test: what a model scores when modalities are missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from palate.contracts import Model
from palate.core.content import modalities_of, modality_dropout_mask
from palate.core.errors import ConfigError, did_you_mean
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.training.deployment import deployment_of


@dataclass(frozen=True)
class MissingModalities:
    """What is missing at test: ``rate``, and the modalities that may be missing (None: all)."""

    rate: float
    modalities: tuple[str, ...] | None = None

    @property
    def name(self) -> str:
        """Of the file with the answers."""
        if not self.rate:
            return "test-0"
        return f"test-missing-{self.rate:g}" + "".join(f"-{modality}" for modality in sorted(self.modalities or ()))


def hide_content(model: Model, data: Dataset, rate: float, seed: int, modalities: Sequence[str] | None = None) -> None:
    """Take modalities away from the items that test asks about, as if they had come without.

    Each candidate (in ``item_cold`` the new items, elsewhere every item) loses each of its ``modalities`` (None: all)
    with probability ``rate``, whatever else it loses; with a modality go all features and fields made of it. The last
    modality that an item has stays: one of which nothing is known is no question of content. Draws depend on ``seed``
    alone, so all models meet the same gaps, and what is missing at one rate is missing at every higher one.

    Raises:
        ConfigError: for a modality that the items do not have.
    """
    deployment = deployment_of(model)
    content, features = deployment.content, deployment.features
    parts = content.modality_features(features, data.items)
    known = list(dict.fromkeys(modality for name in parts for modality in parts.sources[name]))
    unknown = sorted(set(modalities or ()) - set(data.items.modalities))
    if unknown:
        hint = did_you_mean(unknown[0], data.items.modalities)
        raise ConfigError("the items have no such modality", key=unknown[0], hint=hint)
    if not known:
        return
    candidates = data.split.test_candidates
    asked = np.ones(data.n_items, bool) if candidates is None else candidates
    present = modalities_of(parts, parts.sources, known)
    draws = np.stack([rng_for(seed, "missing", modality).random(data.n_items) for modality in known])
    draws[[modalities is not None and modality not in modalities for modality in known]] = 1.0
    gone = present & ~modality_dropout_mask(draws, present, rate) & asked
    left = content.drop_modalities(features, data.items, dict(zip(known, gone)))
    model.update_items(content.model_features(left))
