"""From a dataset to a fitted model: encode, select on validation, refit where the protocol says so, deploy."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from palate.contracts import Model, Ranker
from palate.core.artifacts import required_artifacts
from palate.core.config import ContentConfig, TrainedConfig
from palate.core.context import Callback, RunContext
from palate.core.errors import ConfigError, UnsupportedError
from palate.core.files import digest
from palate.core.item_features import ItemFeatures
from palate.core.progress import stage
from palate.core.seeding import isolated, seed_torch
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.fitted import FittedContent
from palate.features.plan import ContentPlan, plan_content
from palate.features.trainable import TrainableContent
from palate.training.adapt import requested_adaptation, trainable_content
from palate.training.checkpoint import Progress
from palate.training.deployment import Deployment
from palate.training.log import FitLog
from palate.training.loop import train
from palate.training.saving import read_parameters

M = TypeVar("M", bound=Model)


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
    init_from: str | Path | None = None,
    artifacts: Mapping[str, str | Path] | None = None,
    checkpoint_seconds: float = 30.0,
    workers: int = 0,
    callbacks: Sequence[Callback] = (),
) -> M:
    """Train ``model`` on ``data``; nothing here reads the test part.

    Args:
        model: a model of any task; one that was fitted before is fitted from the start.
        data: dataset with a split.
        seed: same seed, same bits on a CPU.
        content: encoders by feature name and where vectors are kept; see :func:`palate.features.plan.plan_content`.
            Several models may be given the same one: each keeps a copy of its own. A model that reads no content
            encodes none.
        checkpoint: folder; training that was killed resumes from it to the same bits.
        device: ``auto`` takes CUDA when present.
        metric: what validation selects on; the headline of the model's task if not given.
        refit: False stops after selection also where the protocol would train again, as a search does.
        init_from: a run whose weights training starts from, wherever name and shape agree.
        artifacts: name -> run that holds it, for models that require artifacts of other runs.
        checkpoint_seconds: at least this many seconds between two writes of a checkpoint.
        workers: processes that prepare batches, for models whose batches allow it.
        callbacks: called after every epoch with its record: ``model``, ``phase``, ``epoch``, the losses, ``seconds``,
            ``metric``, and ``valid`` where the epoch was validated. A closed form has no epochs.

    Returns:
        The same object, fitted.

    Raises:
        ConfigError: when the data lack what the model requires, no weight of ``init_from`` fits, or there is no such
            device.
        TrainingError: when the loss is not finite.
    """
    if model.input_spec is not None:
        _renew(model, model.clone({}))
    wanted = required_artifacts(model.requirements.artifacts, artifacts or {}, model.name)
    model.use_artifacts(wanted)
    metric = metric or model.task.headline(data)
    plan = plan_read(model, content or plan_content(data), data)
    if model.requirements.content and not (plan.names or data.relations.edges):
        hint = "try lightgcn or ease" if model.task_name == "match" else None
        raise ConfigError(f"{model.name} needs content, the data has none", key="model", hint=hint)
    device = usable_device(device)
    log = FitLog(metric=metric)
    started = time.perf_counter()
    folder = Path(checkpoint) if checkpoint else None
    given = [str(init_from or ""), *(artifact.hash for artifact in wanted.values())]
    name = fit_fingerprint(model, data, plan, seed, metric, given)
    run = RunContext(seed, metric, device, None, checkpoint_seconds, name, workers, log.members, tuple(callbacks))
    weights = None if init_from is None else read_parameters(init_from)
    view, fitted, features, source = _encode(model, plan, data.select_view(), data, seed)
    log.content_bytes = sum(f.values.nbytes for f in view.visible.values()) if source is None else source.nbytes
    log.seconds["encode"] = time.perf_counter() - started
    state = _timed(model, view, _stage(run, folder, "select"), log, source, weights)
    log.history = state.history if state else []
    if view.valid is not None:
        _meet_all_items(model, fitted, features, data)
        units = log.valid_units = model.task.validation_units(model, view, metric)
        log.valid = model.task.validate(model, view, metric) if units is None else float(units.mean())
    log.selected = model.selected_settings() | _best_epochs(model, state, metric)
    again = data.refit_view() if refit else None
    if again is not None:
        successor = model.clone(log.selected)
        successor.use_artifacts(wanted)
        view, fitted, features, source = _encode(successor, plan, again, data, seed)
        with stage("fit again with validation"):
            _timed(successor, view, _stage(run, folder, "refit"), log, source, weights)
        _renew(model, successor)
    log.trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    model.on_fit_end()
    if source is not None:
        fitted, features = fitted.finalize(source)
    _meet_all_items(model, fitted, features, data)
    model.deployment = Deployment.from_data(data, fitted, features, seed, log)
    model.deployment.about["fingerprint"] = name
    if isinstance(model, Ranker) and model.config.live:
        model.know(data.events)
    model.eval()
    return model


def usable_device(device: str) -> str:
    """The device to train on.

    Args:
        device: ``auto`` takes CUDA when present.

    Raises:
        ConfigError: for a device that torch does not know, or that is not here.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ConfigError("no such device here", key=device, hint="auto, cpu, or cuda where there is a GPU") from error
    return device


def _encode(
    model: Model, plan: ContentPlan, view: TrainView, data: Dataset, seed: int
) -> tuple[TrainView, FittedContent, ItemFeatures, TrainableContent | None]:
    """Content of one stage: the view that shows it, fitted encoders, features of all items, networks to train."""
    impute = model.config.impute if isinstance(model.config, ContentConfig) else "none"
    dense, fields = model.requirements.dense, model.requirements.fields
    content, features = plan.fit(view, data, dense=dense, fields=fields, impute=impute)
    view = content.training_view(view, features)
    trainable = trainable_content(model, content, features, data.items, seed)
    if trainable is not None:
        view, features = view.with_features(trainable.vectors), trainable.vectors
    return view, content, features, trainable


def fit_member(model: Model, view: TrainView, run: RunContext) -> dict[str, Any]:
    """Train one member of a composed model.

    Args:
        model: the member.
        view: of the composed model.
        run: of the member, see :meth:`palate.core.context.RunContext.member`.

    Returns:
        Settings that were chosen on validation.

    Raises:
        UnsupportedError: for a member that would train its content, which the members share.
    """
    if requested_adaptation(model) is not None:
        raise UnsupportedError(
            f"{model.name} shares its content with other members, so it cannot train it",
            key="tuning",
            hint="tuning=frozen and fusion=late in a composed model, or fit it alone",
        )
    state = _fit_once(model, view, run)
    if state is not None and view.valid is not None:
        run.curves[run.fingerprint.rpartition("/")[2]] = state.history
    return model.selected_settings() | _best_epochs(model, state, run.metric)


def _stage(run: RunContext, folder: Path | None, stage: str) -> RunContext:
    return replace(run, checkpoint=None if folder is None else folder / f"{stage}.safetensors")


def _timed(
    model: Model,
    view: TrainView,
    run: RunContext,
    log: FitLog,
    source: TrainableContent | None,
    weights: dict[str, torch.Tensor] | None,
) -> Progress | None:
    started = time.perf_counter()
    state = _fit_once(model, view, run, source, weights)
    log.seconds["select" if "select" not in log.seconds else "refit"] = time.perf_counter() - started
    return state


def _fit_once(
    model: Model,
    view: TrainView,
    run: RunContext,
    source: TrainableContent | None = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> Progress | None:
    seed_torch(run.seed, "init", model.name)
    model.setup(view, run)
    if weights is not None and not model.initialize(weights):
        raise ConfigError(
            "no weight of this run fits the model", key="init_from", hint="start from a run of the same kind of model"
        )
    if source is not None:
        model.attach_encoders(source)
    state = None if model.solve(view, run) else train(model, view, run)
    model.eval()
    return state


def _renew(model: Model, other: Model) -> None:
    """Give ``model`` the configuration, parts and tensors of ``other``, which is discarded."""
    model.__dict__.clear()
    model.__dict__.update(other.__dict__)


def _meet_all_items(model: Model, content: FittedContent, features: ItemFeatures, data: Dataset) -> None:
    """Hand over content that was hidden in fitting, as a new item's would be."""
    model.update_items(content.model_features(features))
    model.meet_catalog(data.items)


def _best_epochs(model: Model, state: Progress | None, metric: str) -> dict[str, Any]:
    if state is None or not isinstance(model.config, TrainedConfig) or not state.history:
        return {}
    key = model.task.rank_key
    judged = [(key(metric, record["valid"]), -record["epoch"]) for record in state.history if "valid" in record]
    return {"epochs": -max(judged)[1] + 1} if judged else {}


def plan_read(model: Model, plan: ContentPlan, data: Dataset) -> ContentPlan:
    """The part of a plan that a model reads; what it does not read need not be encoded.

    Args:
        model: not fitted.
        plan: encoders of everything.
        data: the dataset.
    """
    if not (model.capabilities.content or model.requirements.content):
        return plan.empty()
    return model.readable_content(plan if model.features_read is None else plan.only(model.features_read), data)


def fit_fingerprint(
    model: Model, data: Dataset, plan: ContentPlan, seed: int, metric: str | None = None, given: Sequence[str] = ("",)
) -> str:
    """Hash of everything that a fit is asked for; the same hash, the same fit.

    Args:
        model: not fitted.
        data: dataset with a split.
        plan: encoders; of no consequence for a model that reads no content.
        seed: of the fit.
        metric: what validation selects on; the headline of the model's task if not given.
        given: the run whose weights to start from, empty for none, and hashes of artifacts of other runs.
    """
    plan = plan_read(model, plan, data)
    metric = metric or model.task.headline(data)
    settings = json.dumps([model.config.model_dump(), plan.features, plan.fields], sort_keys=True, default=str)
    return digest(model.name, settings, data.hash, data.spec.model_dump_json(), str(seed), metric, *given)
