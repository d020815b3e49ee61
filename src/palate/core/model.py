"""The contract of every system: what it is, what it needs, how it learns, what it can do."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

import torch
from torch import Tensor, nn

from .batch import IntArray
from .config import ModelConfig, parse_config
from .content import Features
from .encoder import Encoder
from .errors import ConfigError, NotFittedError, UnsupportedError
from .ports import port
from .registry import Registry
from .scorer import Scorer
from .tuning import Fusion

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from palate.data.catalog import Catalog
    from palate.data.dataset import Dataset
    from palate.data.views import TrainView


@dataclass(frozen=True)
class Capabilities:
    """What a model can do without retraining; each flag is tested both ways.

    Attributes:
        new_items: scores items added after fitting, from their content.
        new_users: scores visitors it never saw, from their history.
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
        batch: ``none`` for closed forms and counting, ``pairs`` for (user, item, negatives), ``examples`` for rows of
            items that a pretrainer chooses.
        negatives: negatives drawn for each positive.
        content: at least one content feature or given item graph.
        dense: at least one dense content feature (a stand-in is made from a given k-NN graph).
        fields: content column by column as well (``TrainView.fields``).
        queries: what people searched for, read as texts are (``TrainView.query_features``).
    """

    batch: Literal["none", "pairs", "examples"] = "none"
    negatives: int = 0
    content: bool = False
    dense: bool = False
    fields: bool = False
    queries: bool = False


@dataclass(frozen=True)
class InputSpec:
    """Sizes from which a model builds its parts.

    Attributes:
        n_users, n_items: rows of the tables. features: width of each content feature.
    """

    n_users: int
    n_items: int
    features: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
        name: for logs. loss: batch -> {"loss": ..., others are logged}.
        parameters: what is trained. lr, weight_decay: of Adam.
        schedule: epoch -> factor on ``lr``. epochs, patience: of this phase.
        validate: whether validation decides when to stop and which epoch is kept.
        slow: those of ``parameters`` that are trained with ``slow_factor`` x the learning rate.
        sweep: (learning rate, rng) -> means to log, "loss" among them. A model that gives it runs a whole epoch by
            itself; ``loss`` and the optimiser are not called. It must draw from ``rng`` alone and keep all its state in
            the model's tensors, so that a resumed run is the same run.
    """

    name: str
    loss: Callable[[Any], dict[str, Tensor]]
    parameters: list[nn.Parameter]
    lr: float
    weight_decay: float = 0.0
    schedule: Callable[[int], float] | None = None
    epochs: int = 1000
    patience: int = 20
    validate: bool = True
    slow: list[nn.Parameter] = field(default_factory=list)
    slow_factor: float = 1.0
    sweep: Callable[[float, np.random.Generator], dict[str, float]] | None = None


class Model(nn.Module):
    """Every system. A subclass is one file: config, parts, loss; the rest lives once, outside.

    Class attributes: ``deterministic`` promises that the seed changes nothing.

    Args:
        config: a ``Config``; or give its settings as keyword arguments.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig
    name: ClassVar[str]
    paper: ClassVar[str] = ""
    task: ClassVar[str] = "match"
    stage: ClassVar[str] = "adapt"
    capabilities: ClassVar[Capabilities] = Capabilities()
    requirements: ClassVar[Requirements] = Requirements()
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    deterministic: ClassVar[bool] = False

    def __init__(self, config: ModelConfig | None = None, **settings: Any) -> None:
        super().__init__()
        self.config: Any = config if config is not None else parse_config(self.Config, settings, self.name)
        self.input_spec: InputSpec | None = None
        self.deployment: Any = None
        self._refuse_axes()

    def _refuse_axes(self) -> None:
        tuning, fusion = getattr(self.config, "tuning", "frozen"), getattr(self.config, "fusion", None)
        if tuning != "frozen" and not self.capabilities.tuning:
            able = [name for name, kind in models.items() if kind.capabilities.tuning]
            raise UnsupportedError(
                f"{self.name} has no gradient to train an encoder with",
                key=f"tuning={tuning}",
                hint=f"models that have one: {', '.join(able)}",
            )
        if fusion is not None and fusion not in self.capabilities.fusion:
            able = [name for name, kind in models.items() if fusion in kind.capabilities.fusion]
            raise UnsupportedError(
                f"in {self.name} modalities meet {' or '.join(self.capabilities.fusion)} only",
                key=f"fusion={fusion}",
                hint=f"models in which they can: {', '.join(able)}",
            )

    def build(self, shape: InputSpec) -> None:
        """Create parameters and buffers for these sizes; called before training and when restoring."""
        self.input_spec = shape

    def setup(self, train: TrainView) -> None:
        """Take sizes, graphs and content from the training view. Subclasses extend it."""
        dims = {name: features.dim for name, features in train.features.items() if features.kind == "pooled"}
        self.build(InputSpec(train.n_users, train.n_items, dims))

    def attach_encoders(self, source: Any) -> None:
        """Take content, from now on, from networks that are trained together with this model; after :meth:`setup`.

        Args:
            source: a :class:`palate.features.trainable.TrainableContent`.
        """
        raise UnsupportedError(f"{self.name} reads content as it is")

    def solve(self, train: TrainView) -> bool:
        """Closed form or counting: fit and return True, and the loop is skipped."""
        return False

    def phases(self) -> list[Phase]:
        """Stages of training; the default is one over all parameters."""
        c = self.config
        parameters = [p for p in self.parameters() if p.requires_grad]
        return [
            Phase("train", self.loss, parameters, c.lr, c.weight_decay, None, c.epochs, c.patience),
        ]

    def loss(self, batch: Any) -> dict[str, Tensor]:
        """Loss terms of a batch; ``loss`` is minimised, all are logged."""
        raise UnsupportedError(f"{self.name} has no loss: it is solved in closed form")

    def on_epoch(self, epoch: int, rng: np.random.Generator) -> None:
        """Called before each epoch, for example to resample edges."""

    def selected_settings(self) -> dict[str, Any]:
        """Settings chosen on validation; a refit starts from the config with these applied."""
        return {}

    def on_fit_end(self) -> None:
        """Called once after training: keep what scoring needs, drop what only training needed."""

    def update_items(self, content: Mapping[str, Features], n_items: int) -> None:
        """Take content for all ``n_items`` rows, also rows unseen in fitting. Nothing is retrained."""
        if self.input_spec is not None and n_items != self.input_spec.n_items:
            able = [name for name, kind in models.items() if kind.capabilities.new_items]
            raise UnsupportedError(f"{self.name} cannot score new items", hint=f"models that can: {', '.join(able)}")

    def clone(self, changes: Mapping[str, Any]) -> Self:
        """An untrained copy with some settings changed."""
        return type(self)(parse_config(self.Config, {**self.config.model_dump(), **changes}, self.name))

    def extra_state(self) -> dict[str, Any]:
        """JSON-able state beside the tensors."""
        return {}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        """Restore what :meth:`extra_state` returned; called after :meth:`build`, before tensors."""

    def load_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the tensors of ``state_dict``; buffers take the saved shape."""
        for name, tensor in tensors.items():
            owner, _, leaf = name.rpartition(".")
            module = self.get_submodule(owner)
            if isinstance(getattr(module, leaf, None), nn.Parameter):
                setattr(module, leaf, nn.Parameter(tensor, requires_grad=False))
            else:
                module.register_buffer(leaf, tensor)

    @property
    def device(self) -> torch.device:
        """Where the parameters live."""
        tensors: Iterable[Tensor] = (*self.parameters(), *self.buffers())
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    def fit(self, data: Dataset, **options: Any) -> Self:
        """Train on ``data`` (see :func:`palate.training.fit.fit`); returns the model."""
        fitted: Self = port("fit")(self, data, **options)
        return fitted

    def save(self, folder: str | Path) -> Path:
        """Write a run folder that recommends on any machine."""
        path: Path = port("save")(self, folder)
        return path

    def _deployed(self) -> Any:
        if self.deployment is None:
            raise NotFittedError(f"{self.name} is not fitted", hint="call fit(data), or palate.restore(folder)")
        return self.deployment


class Matcher(Model):
    """Which items for this user?"""

    def scorer(self) -> Scorer:
        """A frozen scorer over all items."""
        raise UnsupportedError(f"{self.name} does not score")

    def recommend(self, users: Any = None, k: int = 10, **options: Any) -> pl.DataFrame:
        """Best items for ``users`` or for a ``history`` of item ids: columns user, item, score, rank.

        Options: ``history``, ``allowed``, ``exclude``, ``filter_seen=True``, ``on_unknown="error|skip|fallback"``.
        """
        table: pl.DataFrame = self._deployed().recommend(self, users, k, **options)
        return table

    def similar_items(self, item: Any, k: int = 10) -> pl.DataFrame:
        """Items a visitor who took only ``item`` would get: columns item, score, rank."""
        table: pl.DataFrame = self._deployed().similar(self, item, k)
        return table

    def add_items(self, frame: Any, features: Mapping[str, Any] | None = None) -> Self:
        """Encode new catalogue rows and make them recommendable at once; nothing is retrained.

        Args:
            frame: rows with the catalogue's columns; missing ones are absent content.
            features: modality -> vectors [rows, d] (or ``Features``) for modalities that came as ready vectors; a
                modality left out is absent in the new items.
        """
        self._deployed().add_items(self, frame, features)
        return self


class Pretrainer(Model):
    """What does content look like here? Learns encoders on a catalogue's own content, behaviour and graphs.

    Attributes:
        default_readers: modality -> what reads it unless told otherwise, where that is not a tower's usual reader.
        supports_init: its towers can start from an encoder that exists.
        pretrained_parameters: weights that did.
        pretrained_lr_scale: factor on their learning rate.
    """

    task: ClassVar[str] = "pretrain"
    stage: ClassVar[str] = "pretrain"
    requirements: ClassVar[Requirements] = Requirements(batch="examples", content=True)
    default_readers: ClassVar[Mapping[str, str]] = {}
    supports_init: ClassVar[bool] = False
    pretrained_parameters: Sequence[nn.Parameter] = ()
    pretrained_lr_scale: float = 1.0

    def phases(self) -> list[Phase]:
        """Stages of training; pretrained weights move ``pretrained_lr_scale`` times as fast."""
        slow = list(self.pretrained_parameters)
        return [replace(phase, slow=slow, slow_factor=self.pretrained_lr_scale) for phase in super().phases()]

    def columns(self, items: Catalog) -> Mapping[str, tuple[str, str, tuple[str, ...]]]:
        """Single columns to read beside whole modalities.

        Returns:
            Name in ``TrainView.fields`` -> (modality to read them as, reader, columns); the reader ``as:text`` is the
            one of all texts.
        """
        return {}

    def reads(self) -> tuple[str, ...]:
        """Modalities that it can learn from; others are not even read."""
        return ("text", "image", "audio")

    def examples(self, view: TrainView) -> IntArray:
        """Rows of items int64 [n, m], one a training example; held-out ones are left out."""
        raise UnsupportedError(f"{self.name} has no examples")

    def validation_score(self) -> float:
        """Retrieval on held-out examples, the higher the better; decides when to stop and which epoch is kept.

        NaN where nothing is held out: then all epochs are run and the last is kept.
        """
        raise UnsupportedError(f"{self.name} does not judge itself")

    def export(self, readers: Mapping[str, Encoder], fitted_on: str) -> dict[str, Encoder]:
        """Modality -> an encoder of the feature store.

        Args:
            readers: modality -> the encoder that read the raw content. fitted_on: names what was learnt from.
        """
        raise UnsupportedError(f"{self.name} exports no encoder")


M = TypeVar("M", bound=Model)

pretrainers: Registry[type[Pretrainer]] = Registry("pretrainer", ("palate.models.pretrain",))
models: Registry[type[Model]] = Registry("model", ("palate.models.match",))


def parse(text: str, registry: Registry[type[M]], extra: Mapping[str, Any] | None = None) -> M:
    """``name``, ``name@preset`` or ``name:key=value;key=value`` as an unfitted model of ``registry``.

    Args:
        extra: further settings; they win.

    Raises:
        ConfigError: an unknown name, preset or setting.
    """
    import yaml

    head, _, tail = text.partition(":")
    name, _, preset = head.partition("@")
    kind = registry.get(name.strip())
    if preset and preset not in kind.presets:
        known = ", ".join(kind.presets) or "none"
        raise ConfigError(f"{name} has no such preset", key=preset, hint=f"presets: {known}")
    settings = dict(kind.presets.get(preset, {}))
    for pair in filter(None, tail.split(";")):
        key, sign, value = pair.partition("=")
        if not sign:
            raise ConfigError("expected key=value", key=pair, hint="write name:key=value;key=value")
        settings[key.strip()] = yaml.safe_load(value)
    return kind(**{**settings, **(extra or {})})
