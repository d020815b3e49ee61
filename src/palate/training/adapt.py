"""Content that is trained with a model: what the settings ask for, made before the model is set up."""

from __future__ import annotations

from palate.core.model import Model
from palate.core.seeding import seed_torch
from palate.core.tuning import Fusion, TuningSpec, parse_tuning
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.plan import Content
from palate.features.trainable import TrainableContent


def asked(model: Model) -> tuple[TuningSpec, Fusion] | None:
    """What the settings of ``model`` ask of its content; None where it reads vectors as they are."""
    if not model.capabilities.tuning:
        return None
    plan, fusion = parse_tuning(model.config.tuning), model.config.fusion
    return (plan, fusion) if plan.trains or fusion != "late" else None


def adapt(model: Model, view: TrainView, data: Dataset, content: Content) -> tuple[TrainView, TrainableContent | None]:
    """``view`` with the vectors that networks make of the content before training, and these networks."""
    wanted = asked(model)
    if wanted is None:
        return view, None
    seed_torch(view.seed, "adapt", model.name)
    source = content.adapt(data.items, *wanted, model.config.fused_dim)
    return view.with_features(source.vectors), source
