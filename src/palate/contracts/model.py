"""The contract of every system: what it needs, how it learns, what it keeps."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from palate.contracts.phase import Phase
from palate.contracts.schedules import schedule_of
from palate.contracts.spec import Capabilities, InputSpec, Requirements
from palate.contracts.task import Task, tasks
from palate.core.artifacts import Artifact
from palate.core.batch import BatchSource
from palate.core.config import ContentConfig, ModelConfig, TrainedConfig, parse_config
from palate.core.context import RunContext
from palate.core.errors import UnsupportedError
from palate.core.item_features import ItemFeatures
from palate.core.registry import Registry
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.views import TrainView
from palate.features.plan import ContentPlan
from palate.features.trainable import TrainableContent


class Model(nn.Module):
    """Every system. A subclass is one file: config, parts, loss; everything else lives once, outside.

    Class attributes: ``name`` (as registered), ``paper``, ``task_name``, ``stage``, ``capabilities``, ``requirements``,
    ``presets`` (name -> settings), ``deterministic`` (the seed is never read), ``exports`` (what ``palate export``
    writes of a fitted one: ``vectors``, ``onnx``, ``vectors of members``, ``lists``), ``features_read`` (names of the
    content features that it reads, the others are not encoded; None for all) and ``caution`` (what measurements say
    against it, shown wherever it is listed).

    Args:
        config: a ``Config``; or give its settings as keyword arguments.
        settings: settings of ``Config``.

    Raises:
        ConfigError: for an unknown setting or a value out of range.
        UnsupportedError: for a ``tuning`` or ``fusion`` that the model does not have.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    name: ClassVar[str]
    paper: ClassVar[str] = ""
    task_name: ClassVar[str] = "match"
    stage: ClassVar[str] = "adapt"
    capabilities: ClassVar[Capabilities] = Capabilities()
    requirements: ClassVar[Requirements] = Requirements()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    deterministic: ClassVar[bool] = False
    exports: ClassVar[tuple[str, ...]] = ()
    features_read: ClassVar[tuple[str, ...] | None] = None
    caution: ClassVar[str] = ""

    config: ModelConfig
    input_spec: InputSpec | None
    deployment: object | None

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__()
        self.config = config if config is not None else parse_config(self.Config, settings, self.name)
        self.input_spec = None
        self.deployment = None
        _check_axes(self.name, self.config, self.capabilities)

    @property
    def task(self) -> Task[Any]:
        """What the model is asked and how it is judged."""
        return tasks.get(self.task_name)

    def build(self, shape: InputSpec) -> None:
        """Create parameters and buffers for these sizes; called before training and when restoring.

        Args:
            shape: sizes of tables and features.
        """
        self.input_spec = shape

    def setup(self, train: TrainView, run: RunContext) -> None:
        """Take sizes, graphs and content from the training view. Subclasses extend it.

        Args:
            train: all that training may see.
            run: seed of what is drawn once.
        """
        dims = {name: features.dim for name, features in train.features.items() if features.kind == "pooled"}
        fields = {name: values.dim for name, values in train.fields.items() if values.kind == "pooled"}
        maps = InputSpec.map_shapes(train.features)
        self.build(InputSpec(train.n_users, train.n_items, dims, fields, maps))

    def readable_content(self, plan: ContentPlan, data: Dataset) -> ContentPlan:
        """What of the planned content the model may read; all of it by default. Asked before anything is encoded.

        Args:
            plan: encoders by feature name.
            data: the dataset.
        """
        return plan

    def attach_encoders(self, source: TrainableContent) -> None:
        """Read content, from now on, from networks that are trained with this model; called after :meth:`setup`.

        Args:
            source: the networks and their inputs.

        Raises:
            UnsupportedError: for a model that reads content as it is.
        """
        raise UnsupportedError(f"{self.name} cannot train encoders: it reads content as it is")

    def solve(self, train: TrainView, run: RunContext) -> bool:
        """Fit in closed form or by counting.

        Args:
            train: all that training may see.
            run: seed, metric and where resumable state is kept.

        Returns:
            True when the model is fitted and the loop is skipped.
        """
        return False

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        """Source of training batches.

        Args:
            train: all that training may see.
            run: seed of what is drawn once.

        Raises:
            UnsupportedError: for a model that is not trained by the loop.
        """
        raise UnsupportedError(f"{self.name} has no training batches: it is solved in closed form")

    def phases(self) -> list[Phase]:
        """Stages of training; the default is one over all parameters that have gradients."""
        return [self.phase("train")]

    def phase(self, name: str, **changes: Any) -> Phase:
        """A phase with the settings of :class:`palate.core.config.TrainedConfig`.

        Args:
            name: for logs.
            changes: fields of :class:`Phase` that differ.

        Raises:
            UnsupportedError: for a model whose ``Config`` is no ``TrainedConfig``.
        """
        c = self.config
        if not isinstance(c, TrainedConfig):
            raise UnsupportedError(f"{self.name} is not trained by the loop: its Config does not extend TrainedConfig")
        usual: dict[str, Any] = {
            "loss": self.loss,
            "groups": [parameter for parameter in self.parameters() if parameter.requires_grad],
            "lr": c.lr,
            "weight_decay": c.weight_decay,
            "optimizer": c.optimizer,
            "schedule": schedule_of(c.schedule, c.warmup_steps),
            "clip": c.clip,
            "accumulate": c.accumulate,
            "precision": c.precision,
            "epochs": c.epochs,
            "max_steps": c.max_steps,
            "patience": c.patience,
            "validate_every_steps": c.validate_every_steps,
        }
        return Phase(name, **{**usual, **changes})

    def loss(self, batch: Any) -> Mapping[str, Tensor]:
        """Loss terms of a batch; ``loss`` is minimised, all are logged.

        Args:
            batch: of the kind that :meth:`batches` collates.

        Raises:
            UnsupportedError: for a model that is not trained by the loop.
        """
        raise UnsupportedError(f"{self.name} has no loss: it is solved in closed form")

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Prepare an epoch, for example by resampling edges.

        Args:
            epoch: epochs done in this phase.
            rng: the epoch's own generator.
        """

    def selected_settings(self) -> dict[str, Any]:
        """Settings chosen on validation; a refit starts from the config with these applied."""
        return {}

    def on_fit_end(self) -> None:
        """Keep what scoring needs and drop what only training needed; called once after training."""

    def update_items(self, features: ItemFeatures) -> None:
        """Take the content of all items, also of items unseen in fitting. Nothing is retrained.

        Args:
            features: of all items of the catalogue.

        Raises:
            UnsupportedError: for new rows in a model that cannot score new items.
        """
        if self.input_spec is not None and features.n_items != self.input_spec.n_items:
            able = [name for name, kind in models.items() if kind.capabilities.new_items]
            raise UnsupportedError(f"{self.name} cannot score new items", hint=f"models that can: {', '.join(able)}")

    def meet_catalog(self, items: Catalog) -> None:
        """Read the items' own columns, also of items unseen in fitting. Nothing is retrained.

        Called after fitting and restoring, and after items were added or changed.

        Args:
            items: the catalogue, of which :meth:`update_items` brings the encoded content.
        """

    def clone(self, changes: Mapping[str, Any]) -> Self:
        """An untrained copy with some settings changed.

        Args:
            changes: setting -> value.
        """
        return type(self)(parse_config(self.Config, {**self.config.model_dump(), **changes}, self.name))

    def extra_state(self) -> dict[str, Any]:
        """JSON-able state that is saved with the tensors."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned; called after :meth:`build`, before tensors.

        Args:
            state: as returned.
        """

    def artifacts(self) -> Mapping[str, Artifact]:
        """Named parts to keep in the run for others to use, such as semantic ids or a vocabulary."""
        return {}

    def use_artifacts(self, artifacts: Mapping[str, Artifact]) -> None:
        """Take artifacts: those of other runs before :meth:`setup`, or the run's own before :meth:`build`.

        Args:
            artifacts: by name.
        """

    def trainable_state(self) -> dict[str, Tensor]:
        """The part of ``state_dict`` that training can change: what checkpoints and the best weights keep.

        Parameters without a gradient are left out (a frozen network is not copied), unless their module moves them
        itself, as a momentum encoder does, and says so by ``moves_without_gradient = True``.
        """
        moving = {
            id(parameter)
            for module in self.modules()
            if getattr(module, "moves_without_gradient", False)
            for parameter in module.parameters()
        }
        frozen = {
            name
            for name, parameter in self.named_parameters(remove_duplicate=False)
            if not parameter.requires_grad and id(parameter) not in moving
        }
        return {name: tensor for name, tensor in self.state_dict().items() if name not in frozen}

    def initialize(self, tensors: Mapping[str, Tensor]) -> list[str]:
        """Copy another run's weights wherever name and shape agree; called after :meth:`setup`.

        Args:
            tensors: name -> tensor of the other run.

        Returns:
            Names of the parameters that were copied.
        """
        own = dict(self.named_parameters())
        shared = [name for name, tensor in tensors.items() if name in own and own[name].shape == tensor.shape]
        for name in shared:
            own[name].data.copy_(tensors[name])
        return shared

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the tensors of ``state_dict``; buffers take the saved shape.

        A module whose tensors had other names in earlier versions has ``older_names``: older name -> name of today.

        Args:
            tensors: name -> tensor.
        """
        for name, tensor in tensors.items():
            owner, _, leaf = name.rpartition(".")
            module = self.get_submodule(owner)
            inner, _, leaf = getattr(module, "older_names", {}).get(leaf, leaf).rpartition(".")
            module = module.get_submodule(inner)
            if isinstance(getattr(module, leaf, None), nn.Parameter):
                setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
            else:
                module.register_buffer(leaf, tensor)

    def user_tensors(self) -> dict[str, slice]:
        """Saved tensors with a row for each user, so that one user can be erased from a run.

        Returns:
            Name in ``state_dict`` -> the rows that belong to users, in the order of the user table. Names of tensors
            that this model does not hold at the moment are allowed.
        """
        return {}

    def training_tensors(self) -> set[str]:
        """Names in ``state_dict`` that only training reads; neither scoring nor :meth:`update_items` needs them."""
        return set()

    def derived_tensors(self) -> dict[str, Tensor]:
        """Tensors of the model itself that scoring computes from the others and from the items' content.

        A run stores them, so that it answers at once; :meth:`load_tensors` makes them buffers, and the next
        :meth:`update_items`, which brings the content they were computed from, takes them.
        """
        return {}

    def saved_tensors(self) -> dict[str, Tensor]:
        """Tensors that a run stores: those that scoring and :meth:`update_items` need."""
        dropped = self.training_tensors()
        kept = {name: tensor for name, tensor in self.state_dict().items() if name not in dropped}
        return kept | {
            f"{owner}.{name}" if owner else name: tensor
            for owner, part in self.named_modules()
            if isinstance(part, Model)
            for name, tensor in part.derived_tensors().items()
        }

    def drop_training_tensors(self) -> None:
        """Free the tensors that only training reads; the model scores as before and can no longer be trained."""
        for name in self.training_tensors() & self.state_dict().keys():
            owner, _, leaf = name.rpartition(".")
            setattr(self.get_submodule(owner), leaf, None)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        tensors: Iterable[Tensor] = (*self.parameters(), *self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))


_PACKAGES = tuple(f"palate.models.{room}" for room in ("match", "sequence", "rank", "rank.news", "rerank", "tag"))
models: Registry[type[Model]] = Registry("model", _PACKAGES, "palate.models")


def _check_axes(name: str, config: ModelConfig, capabilities: Capabilities) -> None:
    """Refuse a ``tuning`` or ``fusion`` that a model does not have.

    Args:
        name: of the model.
        config: its settings; only a ``ContentConfig`` has these two.
        capabilities: what the model says it can do.

    Raises:
        UnsupportedError: naming the setting and the models that have it.
    """
    if not isinstance(config, ContentConfig):
        return
    if config.tuning != "frozen" and not capabilities.tuning:
        able = [other for other, kind in models.items() if kind.capabilities.tuning]
        raise UnsupportedError(
            f"{name} has no gradient to train an encoder with",
            key=f"tuning={config.tuning}",
            hint=f"models that have one: {', '.join(able)}",
        )
    if config.fusion not in capabilities.fusion:
        able = [other for other, kind in models.items() if config.fusion in kind.capabilities.fusion]
        raise UnsupportedError(
            f"{name} fuses modalities {' or '.join(capabilities.fusion) or 'not at all'}",
            key=f"fusion={config.fusion}",
            hint=f"models that have it: {', '.join(able)}",
        )
