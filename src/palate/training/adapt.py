"""Content that is trained with a model: the networks that its settings ask for, made before the model is set up."""

from __future__ import annotations

from palate.core.item_features import ItemFeatures
from palate.core.model import Model
from palate.core.seeding import seed_torch
from palate.core.tuning import Fusion, TuningSpec, parse_tuning
from palate.data.catalog import Catalog
from palate.features.fitted import FittedContent
from palate.features.trainable import TrainableContent


def asked(model: Model) -> tuple[TuningSpec, Fusion] | None:
    """What the settings of ``model`` ask of its content; None where it reads vectors as they are."""
    if not model.capabilities.tuning:
        return None
    plan, fusion = parse_tuning(model.config.tuning), model.config.fusion
    return (plan, fusion) if plan.trains or fusion != "late" else None


def trainable_content(
    model: Model, content: FittedContent, features: ItemFeatures, items: Catalog, seed: int
) -> TrainableContent | None:
    """Networks that ``model`` trains in place of its encoders' vectors; None where it reads the vectors as they are.

    Args:
        model: its settings ``tuning``, ``fusion`` and ``fused_dim`` decide.
        content: encoders to start from.
        features: of all ``items``.
        items: the catalogue.
        seed: of weights that start at random.

    Raises:
        ConfigError: if nothing can be trained.
    """
    requested = asked(model)
    if requested is None:
        return None
    seed_torch(seed, "adapt", model.name)
    return content.trainable(features, items, *requested, model.config.fused_dim)
