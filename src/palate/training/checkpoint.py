"""A checkpoint is one safetensors file, replaced in one step: weights, optimiser, best weights, where we are.

All randomness of an epoch derives from (seed, phase, epoch), so no generator state needs saving and a resumed run
equals an uninterrupted one bit for bit.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from palate.core.errors import ArtefactError
from palate.core.files import write_tensors

FORMAT = 1


@dataclass
class Progress:
    """Where training is.

    Attributes:
        phase, epoch: the next epoch to run. best_score, best_epoch: of this phase. stale: validations without gain.
        history: one record an epoch.
    """

    phase: int = 0
    epoch: int = 0
    best_score: float = -1.0
    best_epoch: int = -1
    stale: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


def write_checkpoint(
    path: Path,
    fingerprint: str,
    progress: Progress,
    model: Mapping[str, Tensor],
    optimiser: Mapping[str, Any],
    best: Mapping[str, Tensor] | None,
) -> None:
    """Write atomically; ``fingerprint`` names the run (data, config, seed) the file belongs to."""
    tensors = {f"model/{name}": tensor for name, tensor in model.items()}
    tensors |= {f"best/{name}": tensor for name, tensor in (best or {}).items()}
    for index, state in optimiser["state"].items():
        tensors |= {f"optimiser/{index}/{key}": torch.as_tensor(value) for key, value in state.items()}
    facts = {"format": FORMAT, "fingerprint": fingerprint, "progress": asdict(progress)}
    write_tensors(path, tensors, {"palate": json.dumps(facts)})


def read_checkpoint(
    path: Path, fingerprint: str
) -> tuple[Progress, dict[str, Tensor], dict[int, dict[str, Tensor]], dict[str, Tensor]] | None:
    """(progress, model, optimiser state, best), or None when there is none or it belongs to another run."""
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
    if facts.get("fingerprint") != fingerprint:
        return None
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = tensor
    return Progress(**facts["progress"]), groups["model"], state, groups["best"]
