"""The optimiser of a phase: parameter groups, gradient clipping, precision."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor

from palate.contracts import Phase


def make_optimizer(phase: Phase) -> torch.optim.Optimizer:
    """The optimiser that a phase asks for; each group carries ``lr_scale``, its factor on the learning rate.

    Args:
        phase: whose parameters are trained.
    """
    groups: list[dict[str, Any]] = [
        {
            "params": list(group.parameters),
            "lr_scale": group.lr_scale,
            **({} if group.weight_decay is None else {"weight_decay": group.weight_decay}),
        }
        for group in phase.param_groups
    ]
    if callable(phase.optimizer):
        return phase.optimizer(groups, phase.lr, phase.weight_decay)
    if phase.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=phase.lr, weight_decay=phase.weight_decay)
    kind = torch.optim.AdamW if phase.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=phase.lr, weight_decay=phase.weight_decay, fused=_can_fuse(phase))


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the learning rate of every group: ``lr`` times the group's ``lr_scale``.

    Args:
        optimizer: of :func:`make_optimizer`.
        lr: before scaling.
    """
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def restore_state(optimizer: torch.optim.Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
    """Load per-parameter state that a checkpoint kept.

    Args:
        optimizer: with the same parameters as the one that was saved.
        state: index of the parameter -> name -> tensor.
    """
    described = optimizer.state_dict()
    described["state"] = state
    optimizer.load_state_dict(described)


def supports_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 natively; on a CPU autocast would only be slower.

    Args:
        device: where the model lives.
    """
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def precision_context(phase: Phase, device: torch.device) -> AbstractContextManager[Any]:
    """Autocast for the forward pass where the phase asks for bf16 and the device has it, else nothing.

    Args:
        phase: names the precision.
        device: where the model lives.
    """
    if phase.precision == "bf16" and supports_bf16(device):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _can_fuse(phase: Phase) -> bool:
    return all(p.is_floating_point() and p.dtype == torch.float32 for p in phase.parameters)
