"""From a dataset to a fitted model: encode, select on validation, refit where the protocol says so, deploy."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from palate.core.config import TrainedConfig
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.files import digest
from palate.core.item_features import ItemFeatures
from palate.core.model import Matcher, Model
from palate.core.seeding import isolated, seed_torch
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.fitted import FittedContent
from palate.features.impute import Impute
from palate.features.plan import ContentPlan, plan_content
from palate.features.trainable import TrainableContent
from palate.metrics.held import validate

from .adapt import asked, trainable_content
from .checkpoint import Progress
from .deployment import Deployment
from .loop import LoopOptions, train

M = TypeVar("M", bound=Model)


@dataclass
class FitLog:
    """What happened in fitting: learning curves, what was chosen, how long each stage took.

    ``trained`` counts the parameters that had gradients, ``content_bytes`` is what training read of content.
    """

    history: list[dict[str, Any]] = field(default_factory=list)
    selected: dict[str, Any] = field(default_factory=dict)
    valid: float | None = None
    metric: str = "recall@20"
    seconds: dict[str, float] = field(default_factory=dict)
    trained: int = 0
    content_bytes: int = 0


@isolated
def fit(
    model: M,
    data: Dataset,
    *,
    seed: int = 0,
    content: ContentPlan | None = None,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    metric: str | None = None,
    refit: bool = True,
    checkpoint_seconds: float = 30.0,
) -> M:
    """Train ``model`` on ``data``; nothing here reads the test part.

    Args:
        seed: same seed, same bits on a CPU.
        content: encoders by feature name and where vectors are kept; see :func:`palate.features.plan.plan_content`.
            Several models may be given the same one: each keeps a copy of its own. A model that reads no content
            encodes none.
        checkpoint: folder; training that was killed resumes from it to the same bits.
        device: ``auto`` takes CUDA when present.
        refit: False stops after selection also where the protocol would train again, as a search does.
        metric: what validation maximises; ``capped_recall@20`` in item-cold protocols, else ``recall@20``.
        checkpoint_seconds: at least this long between two writes of a checkpoint.

    Returns:
        The fitted model: the same object, or after a refit its successor with the same type.
    """
    if model.input_spec is not None:
        _become(model, model.clone({}))
    chosen = replace(data.select_view(seed), checkpoint_seconds=checkpoint_seconds)
    chosen = chosen if metric is None else replace(chosen, metric=metric)
    metric = chosen.metric
    plan = content or plan_content(data)
    plan = plan if model.capabilities.content or model.requirements.content else plan.empty()
    if model.requirements.content and not (plan.names or data.relations.edges):
        raise ConfigError(f"{model.name} needs content, the data has none", key="model", hint="try lightgcn or ease")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    log = FitLog(metric=metric)
    started = time.perf_counter()
    folder = Path(checkpoint) if checkpoint else None
    name = _fingerprint(model, data, plan, seed, metric)
    chosen = replace(chosen, scratch=folder and folder / "select", fingerprint=name, device=device)
    view, fitted, features, source = _encode(model, plan, chosen, data)
    log.content_bytes = sum(f.values.nbytes for f in view.visible.values()) if source is None else source.nbytes
    log.seconds["encode"] = time.perf_counter() - started
    state = _train(model, view, "select", log, source)
    log.history = state.history if state else []
    if view.valid is not None and isinstance(model, Matcher):
        _update_items(model, fitted, features)
        with torch.inference_mode():
            log.valid = validate(model.scorer(), view.valid, metric)
    log.selected = model.selected_settings() | _epochs(model, state)
    again = data.refit_view(seed) if refit else None
    if again is not None:
        settings = log.selected
        successor = model.clone(settings)
        again = replace(again, metric=metric, checkpoint_seconds=checkpoint_seconds, device=device)
        again = replace(again, scratch=folder and folder / "refit", fingerprint=name)
        view, fitted, features, source = _encode(successor, plan, again, data)
        _train(successor, view, "refit", log, source)
        _become(model, successor)
    log.trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    model.on_fit_end()
    if source is not None:
        fitted, features = fitted.finalize(source)
    _update_items(model, fitted, features)
    model.deployment = Deployment.from_data(data, fitted, features, seed, log)
    model.eval()
    return model


def _encode(
    model: Model, plan: ContentPlan, view: TrainView, data: Dataset
) -> tuple[TrainView, FittedContent, ItemFeatures, TrainableContent | None]:
    """Content of one stage: the view that shows it, fitted encoders, features of all items, networks to train."""
    impute: Impute = getattr(model.config, "impute", "none")
    needs = model.requirements
    content, features = plan.fit(view, data, dense=needs.dense, fields=needs.fields, impute=impute)
    view = content.training_view(view, features)
    trainable = trainable_content(model, content, features, data.items, view.seed)
    if trainable is not None:
        view, features = view.with_features(trainable.vectors), trainable.vectors
    return view, content, features, trainable


def _train(
    model: Model, view: TrainView, stage: str, log: FitLog, source: TrainableContent | None = None
) -> Progress | None:
    started = time.perf_counter()
    file = None if view.scratch is None else view.scratch.with_name(f"{view.scratch.name}.safetensors")
    state = _learn(model, view, file, view.fingerprint, source)
    log.seconds[stage] = time.perf_counter() - started
    return state


def run_stage(model: Model, view: TrainView, name: str) -> dict[str, Any]:
    """Train one member of a composed model on ``view``; returns the settings it chose on validation.

    Raises:
        UnsupportedError: for a member that would train its content, which the members share.
    """
    if asked(model) is not None:
        raise UnsupportedError(
            f"{model.name} shares its content with other members, so it cannot train it",
            key="tuning",
            hint="tuning=frozen and fusion=late in a composed model, or fit it alone",
        )
    file = None if view.scratch is None else view.scratch / f"{name}.safetensors"
    state = _learn(model, view, file, f"{view.fingerprint}/{name}")
    return model.selected_settings() | _epochs(model, state)


def _learn(
    model: Model, view: TrainView, file: Path | None, name: str, source: TrainableContent | None = None
) -> Progress | None:
    seed_torch(view.seed, "init", model.name)
    model.setup(view)
    if source is not None:
        model.attach_encoders(source)
    options = LoopOptions(view.seed, view.metric, file, view.checkpoint_seconds, name, str(view.device))
    state = None if model.solve(view) else train(model, view, options)
    model.eval()
    return state


def _become(model: Model, other: Model) -> None:
    """Make ``model`` what ``other`` is, keeping nothing of its past."""
    model.__dict__.clear()
    model.__dict__.update(other.__dict__)


def _update_items(model: Model, content: FittedContent, features: ItemFeatures) -> None:
    """Content hidden while fitting arrives now, as a new item's would."""
    model.update_items(content.model_features(features), features.n_items)


def _epochs(model: Model, state: Progress | None) -> dict[str, Any]:
    if state is None or not isinstance(model.config, TrainedConfig) or not state.history:
        return {}
    judged = [(record["valid"], -record["epoch"]) for record in state.history if "valid" in record]
    return {"epochs": -max(judged)[1] + 1} if judged else {}


def _fingerprint(model: Model, data: Dataset, plan: ContentPlan, seed: int, metric: str) -> str:
    settings = json.dumps([model.config.model_dump(), plan.features, plan.fields], sort_keys=True, default=str)
    return digest(model.name, settings, data.hash, data.spec.model_dump_json(), str(seed), metric)
