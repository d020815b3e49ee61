"""A checkpoint is one safetensors file, replaced in one step: weights, optimiser, best weights, where we are.

All randomness of an epoch derives from (seed, phase, epoch), so no generator state needs saving and a resumed run
equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from palate.core.errors import ArtefactError
from palate.core.files import write_tensors

FORMAT = 2


@dataclass
class Progress:
    """Where training is.

    Attributes:
        phase: the phase to run.
        epoch: the next epoch of it to run.
        step: optimiser steps done in this phase.
        best_score: best validation of this phase, turned so that more is better.
        best_epoch: epoch that had it.
        epochs_without_improvement: validations since then.
        history: one record an epoch.
    """

    phase: int = 0
    epoch: int = 0
    step: int = 0
    best_score: float = -math.inf
    best_epoch: int = -1
    epochs_without_improvement: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    def next_phase(self) -> None:
        """Go to the start of the next phase; the history stays."""
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0
        self.best_score, self.best_epoch, self.epochs_without_improvement = -math.inf, -1, 0


def write_checkpoint(
    path: Path,
    fingerprint: str,
    progress: Progress,
    model: Mapping[str, Tensor],
    optimiser: Mapping[str, Any],
    best: Mapping[str, Tensor] | None,
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: the file.
        fingerprint: names the run (data, config, seed) the file belongs to.
        progress: where training is.
        model: the part of the model's state that training changes.
        optimiser: its ``state_dict``.
        best: the same part of the state at the best validation.
    """
    tensors = {f"model/{name}": tensor for name, tensor in model.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    for index, state in optimiser["state"].items():
        tensors |= {f"optimiser/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    facts = {"format": FORMAT, "fingerprint": fingerprint, "progress": asdict(progress)}
    write_tensors(path, tensors, {"palate": json.dumps(facts)})


def read_checkpoint(
    path: Path, fingerprint: str
) -> tuple[Progress, dict[str, Tensor], dict[int, dict[str, Tensor]], dict[str, Tensor]] | None:
    """Read a checkpoint.

    Args:
        path: the file.
        fingerprint: names the run.

    Returns:
        Progress, model state, optimiser state and best state; None when there is none, or it belongs to another run or
        an older format.

    Raises:
        ArtefactError: when the file is damaged or written by a newer format.
    """
    if not path.is_file():
        return None
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "optimiser": {}, "best": {}}
    try:
        with safe_open(str(path), framework="pt") as file:
            facts = json.loads((file.metadata() or {}).get("palate", "{}"))
            for key in file.keys():  # noqa: SIM118
                group, _, name = key.partition("/")
                groups[group][name] = file.get_tensor(key)
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ArtefactError(
            f"the checkpoint is damaged ({error})", file=path, hint="delete it to start over"
        ) from error
    if facts.get("format", 0) > FORMAT:
        raise ArtefactError(f"written by a newer format {facts['format']}", file=path, hint="upgrade palate")
    if facts.get("fingerprint") != fingerprint or facts.get("format") != FORMAT:
        return None
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    return Progress(**facts["progress"]), groups["model"], state, groups["best"]
