"""Batches of an epoch, shuffled, sharded and on the device; optionally prepared by worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from palate.core.batch import Batch, BatchSource, IntArray
from palate.core.seeding import rng_for
from palate.training.distributed import shard


@dataclass(frozen=True)
class Step:
    """One global batch as this process sees it.

    Attributes:
        batch: this process's share, on the device.
        weight: of its mean loss, so that the average over processes is the mean of the global batch.
        rows: of the global batch.
    """

    batch: Batch
    weight: float
    rows: int


@dataclass(frozen=True)
class Epoch:
    """Where an epoch's randomness comes from, and how its batches are shared.

    Attributes:
        seed: of the run.
        phase: index of the phase.
        epoch: index of the epoch.
        rank: of this process.
        world: number of processes.
        workers: processes that prepare batches, for sources that allow it.
    """

    seed: int
    phase: int
    epoch: int
    rank: int = 0
    world: int = 1
    workers: int = 0


def batches(rows: int, size: int, whole: bool) -> int:
    """Number of batches of an epoch.

    Args:
        rows: of the epoch.
        size: rows of a batch.
        whole: leave out a shorter last batch, unless it is the only one.
    """
    return max(1, rows // size) if whole and rows else -(-rows // size)


def steps(
    source: BatchSource,
    size: int,
    epoch: Epoch,
    rng: np.random.Generator,
    device: str | torch.device,
    whole: bool = False,
) -> Iterator[Step]:
    """All rows of ``source`` once, shuffled, ``size`` at a time.

    A sequential source draws from ``rng``, one batch after the other, for the whole global batch; of any other source
    each process prepares its own share with a generator named by (seed, phase, epoch, step, rank), so that the bits do
    not depend on the number of workers.

    Args:
        source: what to draw from.
        size: rows of a global batch.
        epoch: randomness and sharing.
        rng: shuffles, and serves sequential sources.
        device: where batches go.
        whole: leave out a shorter last batch, unless it is the only one.
    """
    order = rng.permutation(len(source))
    cuts = [order[start : start + size] for start in range(0, len(order), size)][: batches(len(order), size, whole)]
    pinned = torch.device(device).type == "cuda"
    if source.sequential:
        for rows in cuts:
            joint = source.collate(rows, rng)
            if epoch.world == 1:
                yield Step(_sent(joint, device, pinned), 1.0, len(rows))
                continue
            part, weight = shard(np.arange(len(rows)), epoch.rank, epoch.world)
            yield Step(_sent(joint.take(torch.from_numpy(part)), device, pinned), weight, len(rows))
        return
    shares = [shard(rows, epoch.rank, epoch.world) for rows in cuts]
    collated = _Collated(source, [part for part, _ in shares], epoch)
    loader: Any = map(collated.__getitem__, range(len(collated)))
    if epoch.workers:
        loader = DataLoader(collated, batch_size=None, shuffle=False, num_workers=epoch.workers, prefetch_factor=4)
    for batch, (_, weight), rows in zip(loader, shares, cuts):
        yield Step(_sent(batch, device, pinned), weight, len(rows))


class _Collated(Dataset[Batch]):
    """Batch number -> collated batch, in whichever process asks."""

    def __init__(self, source: BatchSource, shares: Sequence[IntArray], epoch: Epoch) -> None:
        self.source, self.shares, self.epoch = source, shares, epoch

    def __len__(self) -> int:
        return len(self.shares)

    def __getitem__(self, step: int) -> Batch:
        e = self.epoch
        return self.source.collate(self.shares[step], rng_for(e.seed, "batch", e.phase, e.epoch, step, e.rank))


def _sent(batch: Batch, device: str | torch.device, pinned: bool) -> Batch:
    return batch.to(device) if pinned or str(device) != "cpu" else batch
