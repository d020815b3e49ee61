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
from palate.core.model import Matcher, Model
from palate.core.seeding import isolated, seed_torch
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.impute import Impute
from palate.features.plan import Content, plan_content
from palate.features.trainable import TrainableContent
from palate.metrics.held import validate

from .adapt import adapt, asked
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
    content: Content | None = None,
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
    content = (content or plan_content(data)).fresh(model.capabilities.content or model.requirements.content)
    if model.requirements.content and not (content.names or data.relations.edges):
        raise ConfigError(f"{model.name} needs content, the data has none", key="model", hint="try lightgcn or ease")
    device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    log = FitLog(metric=metric)
    started = time.perf_counter()
    folder = Path(checkpoint) if checkpoint else None
    name = _fingerprint(model, data, content, seed, metric)
    chosen = replace(chosen, scratch=folder and folder / "select", fingerprint=name, device=device)
    impute: Impute = getattr(model.config, "impute", "none")
    view = content.view(chosen, data, dense=model.requirements.dense, fields=model.requirements.fields, impute=impute)
    view, source = adapt(model, view, data, content)
    log.content_bytes = sum(f.values.nbytes for f in view.visible.values()) if source is None else source.nbytes
    log.seconds["encode"] = time.perf_counter() - started
    state = _train(model, view, "select", log, source)
    log.history = state.history if state else []
    if view.valid is not None and isinstance(model, Matcher):
        _extend(model, data, content)
        with torch.inference_mode():
            log.valid = validate(model.scorer(), view.valid, metric)
    log.selected = model.selected_settings() | _epochs(model, state)
    again = data.refit_view(seed) if refit else None
    if again is not None:
        settings = log.selected
        successor = model.clone(settings)
        again = replace(again, metric=metric, checkpoint_seconds=checkpoint_seconds, device=device)
        again = replace(again, scratch=folder and folder / "refit", fingerprint=name)
        view = content.view(
            again, data, dense=model.requirements.dense, fields=model.requirements.fields, impute=impute
        )
        view, source = adapt(successor, view, data, content)
        _train(successor, view, "refit", log, source)
        _become(model, successor)
    log.trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    model.on_fit_end()
    if source is not None:
        content.settle(source)
    _extend(model, data, content)
    model.deployment = Deployment.from_data(data, content, seed, log)
    model.eval()
    return model


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


def _extend(model: Model, data: Dataset, content: Content) -> None:
    """Content hidden while fitting arrives now, as a new item's would."""
    model.update_items(content.handed, data.n_items)


def _epochs(model: Model, state: Progress | None) -> dict[str, Any]:
    if state is None or not isinstance(model.config, TrainedConfig) or not state.history:
        return {}
    judged = [(record["valid"], -record["epoch"]) for record in state.history if "valid" in record]
    return {"epochs": -max(judged)[1] + 1} if judged else {}


def _fingerprint(model: Model, data: Dataset, content: Content, seed: int, metric: str) -> str:
    settings = json.dumps([model.config.model_dump(), content.plan, content.fields], sort_keys=True, default=str)
    return digest(model.name, settings, data.hash, data.spec.model_dump_json(), str(seed), metric)
