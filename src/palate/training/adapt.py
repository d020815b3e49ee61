"""Content that is trained with a model: what the settings ask for, made before the model is set up."""

from __future__ import annotations

from palate.contracts import Model
from palate.core.config import AdaptedConfig
from palate.core.item_features import ItemFeatures
from palate.core.seeding import seed_torch
from palate.core.tuning import Fusion, TuningSpec, parse_tuning
from palate.data.catalog import Catalog
from palate.features.fitted import FittedContent
from palate.features.trainable import TrainableContent


def requested_adaptation(model: Model) -> tuple[TuningSpec, Fusion] | None:
    """What a model's settings ask to be done to its encoders.

    Args:
        model: any model.

    Returns:
        What is trained and where modalities are fused; None where the model reads vectors as they are.
    """
    if not model.capabilities.tuning or not isinstance(model.config, AdaptedConfig):
        return None
    plan, fusion = parse_tuning(model.config.tuning), model.config.fusion
    return (plan, fusion) if plan.trains or fusion != "late" else None


def trainable_content(
    model: Model, content: FittedContent, features: ItemFeatures, items: Catalog, seed: int
) -> TrainableContent | None:
    """Make the networks that encode content while a model is trained, where its settings ask for any.

    Args:
        model: not yet set up.
        content: encoders to start from.
        features: of all ``items``.
        items: the catalogue.
        seed: of weights that start at random.

    Returns:
        The networks, and the vectors that they give before training; None where nothing of the content is trained.

    Raises:
        ConfigError: if nothing can be trained.
    """
    requested = requested_adaptation(model)
    if requested is None or not isinstance(model.config, AdaptedConfig):
        return None
    seed_torch(seed, "adapt", model.name)
    return content.trainable(features, items, *requested, model.config.fused_dim)
