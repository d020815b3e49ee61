"""How to run a training: seed, device, checkpoint, and what validation maximises."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

Callback = Callable[[Mapping[str, Any]], None]
"""Called with what is known of an epoch: model, phase, epoch, losses, valid, seconds."""


@dataclass(frozen=True)
class RunContext:
    """How to run, apart from the data.

    Attributes:
        seed: of everything random in training; the same seed gives the same bits on a CPU.
        metric: what validation selects on; empty takes the task's headline.
        device: where tensors live.
        checkpoint: file to resume from and to write to, or None.
        checkpoint_seconds: at least this many seconds between two writes.
        fingerprint: name of the run; a checkpoint of another run is ignored.
        workers: processes that prepare batches; 0 prepares them in the training process.
        curves: member of a composed model -> its learning curve, filled in as members are trained.
        callbacks: are called after every epoch with its record.
    """

    seed: int = 0
    metric: str = "recall@20"
    device: str = "cpu"
    checkpoint: Path | None = None
    checkpoint_seconds: float = 30.0
    fingerprint: str = ""
    workers: int = 0
    curves: dict[str, list[dict[str, Any]]] = field(default_factory=dict, compare=False)
    callbacks: tuple[Callback, ...] = ()

    def member(self, name: str, metric: str | None = None) -> RunContext:
        """The context of one member of a composed model: a checkpoint and a fingerprint of its own.

        Args:
            name: of the member, unique among its siblings.
            metric: what its own validation selects on; None for that of the whole.
        """
        file = self.checkpoint
        nested = None if file is None else file.with_suffix("") / f"{name}{file.suffix}"
        named = f"{self.fingerprint}/{name}"
        return replace(self, checkpoint=nested, fingerprint=named, metric=metric or self.metric)
