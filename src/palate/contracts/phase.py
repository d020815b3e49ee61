"""Stages of training: what is minimised, which parameters move, how fast, and when to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

OptimizerFactory = Callable[[list[dict[str, Any]], float, float], torch.optim.Optimizer]
"""(parameter groups, learning rate, weight decay) -> optimiser."""

OptimizerName = Literal["adam", "adamw", "sgd"]
Precision = Literal["float32", "bf16"]


@dataclass(frozen=True)
class StepInfo:
    """Where a phase is.

    Attributes:
        step: optimiser steps done in this phase.
        epoch: epochs done in this phase.
        total: steps the phase may take at most.
    """

    step: int
    epoch: int
    total: int


Schedule = Callable[[StepInfo], float]
"""Factor on the learning rate of the next step."""


@dataclass(frozen=True)
class ParamGroup:
    """Parameters that share a learning rate and a weight decay.

    Attributes:
        parameters: the parameters.
        lr_scale: factor on the phase's learning rate.
        weight_decay: instead of the phase's; None takes the phase's.
    """

    parameters: Sequence[nn.Parameter]
    lr_scale: float = 1.0
    weight_decay: float | None = None


@dataclass(frozen=True)
class Phase:
    """One stage of training.

    Attributes:
        name: for logs.
        loss: batch -> {"loss": scalar to minimise, others are logged}.
        groups: parameters that are trained; a plain list of parameters is one group.
        lr: learning rate.
        weight_decay: coupled (Adam, SGD) or decoupled (AdamW) L2 penalty.
        optimizer: name, or a function that makes one.
        schedule: factor on ``lr`` at every step; None keeps it constant.
        clip: largest L2 norm of all gradients together; None does not clip.
        accumulate: batches whose gradients are averaged into one step.
        precision: of the forward pass; ``bf16`` is autocast where the device supports it, else float32 is used.
        epochs: at most this many.
        max_steps: at most this many optimiser steps; None is unlimited.
        patience: validations without gain after which the phase ends.
        validate: whether validation decides when to stop and which weights are kept.
        validate_every_steps: also validate inside an epoch, after each such number of steps.
        train_epoch: (learning rate, rng) -> means to log, "loss" among them. A model that gives it trains a whole epoch
            by itself; ``loss`` and the optimiser are not called. It must draw from ``rng`` alone and keep all its state
            in the model's tensors, so that a resumed run is the same run.
    """

    name: str
    loss: Callable[[Any], Mapping[str, Tensor]]
    groups: Sequence[ParamGroup] | Sequence[nn.Parameter]
    lr: float
    weight_decay: float = 0.0
    optimizer: OptimizerName | OptimizerFactory = "adam"
    schedule: Schedule | None = None
    clip: float | None = None
    accumulate: int = 1
    precision: Precision = "float32"
    epochs: int = 1000
    max_steps: int | None = None
    patience: int = 20
    validate: bool = True
    validate_every_steps: int | None = None
    train_epoch: Callable[[float, np.random.Generator], Mapping[str, float]] | None = field(default=None)

    @property
    def param_groups(self) -> list[ParamGroup]:
        """The groups that have parameters."""
        groups = [group for group in self.groups if isinstance(group, ParamGroup)]
        plain = [parameter for parameter in self.groups if isinstance(parameter, nn.Parameter)]
        groups = [ParamGroup(plain), *groups] if plain else groups
        return [group for group in groups if len(group.parameters)]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that are trained, group by group."""
        return [parameter for group in self.param_groups for parameter in group.parameters]

    def slowed(self, parameters: Iterable[nn.Parameter], lr_scale: float) -> list[ParamGroup]:
        """The groups with ``parameters`` taken out into a last group of their own.

        Args:
            parameters: those that are trained ``lr_scale`` times as fast; only those the phase trains are kept.
            lr_scale: factor on the learning rate.

        Returns:
            New groups, for ``dataclasses.replace(phase, groups=...)``.
        """
        chosen = {id(parameter) for parameter in parameters}
        usual = [
            ParamGroup([p for p in group.parameters if id(p) not in chosen], group.lr_scale, group.weight_decay)
            for group in self.param_groups
        ]
        return [*usual, ParamGroup(list(_unique(parameters)), lr_scale)]


def _unique(parameters: Iterable[nn.Parameter]) -> Iterator[nn.Parameter]:
    known: set[int] = set()
    for parameter in parameters:
        if id(parameter) not in known:
            known.add(id(parameter))
            yield parameter
