"""Content that is trained with a model: what the settings ask for, made before the model is set up."""

from __future__ import annotations

from palate.contracts import Model
from palate.core.config import AdaptedConfig
from palate.core.context import RunContext
from palate.core.seeding import seed_torch
from palate.core.tuning import Fusion, Plan, parse_plan
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.adapted import Source
from palate.features.plan import Content


def requested_adaptation(model: Model) -> tuple[Plan, Fusion] | None:
    """What a model's settings ask to be done to its encoders.

    Args:
        model: any model.

    Returns:
        What is trained and where modalities are fused; None where the model reads vectors as they are.
    """
    if not model.capabilities.tuning or not isinstance(model.config, AdaptedConfig):
        return None
    plan, fusion = parse_plan(model.config.tuning), model.config.fusion
    return (plan, fusion) if plan.trains or fusion != "late" else None


def adapt(
    model: Model, view: TrainView, data: Dataset, content: Content, run: RunContext
) -> tuple[TrainView, Source | None]:
    """Make the networks that encode content while a model is trained, where its settings ask for any.

    Args:
        model: not yet set up.
        view: with content.
        data: whose items are encoded.
        content: encoders.
        run: seed of what starts at random.

    Returns:
        The view with the vectors that the networks give before training, and the networks; None where nothing of the
        content is trained.
    """
    wanted = requested_adaptation(model)
    if wanted is None or not isinstance(model.config, AdaptedConfig):
        return view, None
    seed_torch(run.seed, "adapt", model.name)
    source = content.adapt(data.items, *wanted, model.config.fused_dim)
    return view.with_features(source.vectors), source
