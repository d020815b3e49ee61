"""Data parallel under ``torchrun``: each process takes its share of a global batch, gradients are averaged."""

from __future__ import annotations

import atexit
import os
from collections.abc import Sequence

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from palate.core.batch import IntArray


def start() -> tuple[int, int]:
    """(rank, world size); joins the process group that torchrun describes, (0, 1) without it."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return 0, 1
    if not dist.is_initialized():
        # plain numbers stay on the host also where weights live on a device, and each process has a device of its own
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        # gloo's threads must be joined before the interpreter unloads them, else the process aborts now and then
        atexit.register(_leave)
    return dist.get_rank(), world


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def share(batch: IntArray, rank: int, world: int) -> tuple[IntArray, float]:
    """This rank's part of a global batch and its weight, so that the average of weighted means is the global mean."""
    part = np.array_split(batch, world)[rank]
    if not len(part):
        # the mean of nothing is NaN, which a weight of 0 would not remove
        return batch[:1], 0.0
    return part, len(part) * world / len(batch)


def average_gradients(parameters: Sequence[torch.nn.Parameter], world: int) -> None:
    """Average gradients over processes in one flat message."""
    if world == 1:
        return
    grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in parameters]
    flat = torch.cat([grad.reshape(-1) for grad in grads])
    dist.all_reduce(flat)
    flat /= world
    offset = 0
    for parameter in parameters:
        size = parameter.numel()
        parameter.grad = flat[offset : offset + size].view_as(parameter).clone()
        offset += size


def average(value: Tensor, world: int) -> float:
    """Mean of a scalar over processes."""
    if world > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= world
    return float(value)


def same(values: Sequence[int], world: int) -> bool:
    """Whether all processes hold the same numbers; none goes on before all have asked."""
    if world == 1:
        return True
    low = torch.tensor(values, dtype=torch.int64)
    high = low.clone()
    dist.all_reduce(low, dist.ReduceOp.MIN)
    dist.all_reduce(high, dist.ReduceOp.MAX)
    return bool((low == high).all())


def agree(value: float, world: int) -> float:
    """Rank 0's value everywhere, so that all processes stop at the same epoch."""
    if world == 1:
        return value
    message = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(message, 0)
    return float(message)
