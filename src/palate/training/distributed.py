"""Data parallel under ``torchrun``: each process takes its share of a global batch, DDP averages gradients."""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

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


def shard(batch: IntArray, rank: int, world: int) -> tuple[IntArray, float]:
    """This process's part of a global batch.

    Args:
        batch: rows of the global batch.
        rank: of this process.
        world: number of processes.

    Returns:
        The rows, and a weight such that the average of weighted means over processes is the global mean.
    """
    part = np.array_split(batch, world)[rank]
    if not len(part):
        # the mean of nothing is NaN, which a weight of 0 would not remove
        return batch[:1], 0.0
    return part, len(part) * world / len(batch)


class LossModule(nn.Module):
    """A phase's loss as a module, so that :class:`DistributedDataParallel` can average its gradients.

    Args:
        model: whose parameters the loss reads.
        loss: batch -> terms.
    """

    def __init__(self, model: nn.Module, loss: Callable[[Any], Mapping[str, Tensor]]) -> None:
        super().__init__()
        self.model, self.terms = model, loss

    def forward(self, batch: Any) -> dict[str, Tensor]:
        """Loss terms of a batch."""
        return dict(self.terms(batch))


def parallel(
    model: nn.Module,
    loss: Callable[[Any], Mapping[str, Tensor]],
    trained: Sequence[nn.Parameter],
    world: int,
) -> nn.Module:
    """The loss of a phase; with several processes its backward pass averages gradients over them.

    Args:
        model: whose parameters the loss reads.
        loss: batch -> terms.
        trained: parameters of the phase; no other's gradients travel.
        world: number of processes.
    """
    module = LossModule(model, loss)
    if world == 1:
        return module
    mine = {id(parameter) for parameter in trained}
    idle = [name for name, parameter in module.named_parameters() if id(parameter) not in mine]
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, idle)
    # a phase may leave out parameters in some batches, and buffers are the model's own business
    return DistributedDataParallel(module, find_unused_parameters=True, broadcast_buffers=False)


def average(value: Tensor, world: int) -> float:
    """Mean of a scalar over processes.

    Args:
        value: of this process.
        world: number of processes.
    """
    if world > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
        value /= world
    return float(value)


def all_equal(values: Sequence[int], world: int) -> bool:
    """Whether all processes hold the same numbers; a barrier for all of them.

    Args:
        values: whole numbers.
        world: number of processes.
    """
    if world == 1:
        return True
    low = torch.tensor(values, dtype=torch.int64)
    high = low.clone()
    dist.all_reduce(low, dist.ReduceOp.MIN)
    dist.all_reduce(high, dist.ReduceOp.MAX)
    return bool((low == high).all())


def broadcast(value: float, world: int) -> float:
    """Rank 0's value everywhere, so that all processes stop at the same epoch.

    Args:
        value: of this process.
        world: number of processes.
    """
    if world == 1:
        return value
    message = torch.tensor([value], dtype=torch.float64)
    dist.broadcast(message, 0)
    return float(message)
