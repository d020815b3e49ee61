"""The one training loop: phases, vectorised negatives, early stopping, bit-equal resume, data parallel."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palate.core.allocator import keep_freed_memory
from palate.core.batch import IntArray
from palate.core.errors import PalateError
from palate.core.model import Model, Phase
from palate.core.progress import progress as progress_bar
from palate.core.seeding import rng_for, seed_torch
from palate.data.views import TrainView

from . import distributed
from .checkpoint import Progress, read_checkpoint, write_checkpoint
from .sources import Source, source_of


class TrainingError(PalateError):
    """Training cannot go on."""


@dataclass(frozen=True)
class LoopOptions:
    """How to run the loop.

    Attributes:
        seed: of everything random. metric: what validation maximises.
        checkpoint: file to resume from and to write to, or None. checkpoint_seconds: at least this long between writes.
        fingerprint: names the run; a checkpoint of another run is ignored.
        device: where tensors live.
    """

    seed: int = 0
    metric: str = "recall@20"
    checkpoint: Path | None = None
    checkpoint_seconds: float = 30.0
    fingerprint: str = ""
    device: str = "cpu"


def train(model: Model, view: TrainView, options: LoopOptions) -> Progress:
    """Run all phases of ``model``; afterwards it holds the weights of the best validated epoch.

    Time O(epochs * positives); memory O(parameters + batch).
    """
    keep_freed_memory()
    rank, world = distributed.start()
    resumed = read_checkpoint(options.checkpoint, options.fingerprint) if options.checkpoint else None
    state = Progress() if resumed is None else resumed[0]
    best: dict[str, Tensor] = {} if resumed is None else resumed[3]
    if resumed is not None:
        model.load_state_dict(resumed[1], strict=False)
    model.to(options.device)
    source = source_of(model, view, options.metric, options.device)
    if not distributed.same([state.phase, state.epoch, len(source)], world):
        hint = "give every machine the same shared folders, or remove the checkpoint"
        raise TrainingError("the processes found different data or checkpoints", key=options.checkpoint, hint=hint)
    for index, phase in enumerate(model.phases()):
        if index < state.phase:
            continue
        optimiser = torch.optim.Adam(
            _groups(phase), lr=phase.lr, weight_decay=phase.weight_decay, fused=_can_fuse(phase)
        )
        if resumed is not None and state.epoch > 0:
            _restore(optimiser, resumed[2])
        _Phase(model, source, options, phase, index, state, best, optimiser, rank, world).run()
        best = {}
        state.phase, state.epoch, state.best_score, state.best_epoch, state.stale = index + 1, 0, -1.0, -1, 0
        resumed = None
    return state


@dataclass
class _Phase:
    model: Model
    source: Source
    options: LoopOptions
    phase: Phase
    index: int
    state: Progress
    best: dict[str, Tensor]
    optimiser: torch.optim.Optimizer
    rank: int
    world: int

    def run(self) -> None:
        state, phase, judged = self.state, self.phase, self.phase.validate and self.source.judge is not None
        written = time.monotonic()
        with progress_bar(f"{self.model.name} {phase.name}", phase.epochs) as advance:
            advance(state.epoch)
            while state.epoch < phase.epochs and not (judged and state.stale >= phase.patience):
                record = self.epoch()
                if judged and (state.epoch + 1) % getattr(self.model.config, "validate_every", 1) == 0:
                    self.judge(record)
                state.history.append(record)
                state.epoch += 1
                score = f" {self.options.metric} {state.best_score:.4f}" if judged else ""
                advance(1, f"loss {record['loss']:.4f}{score}")
                if time.monotonic() - written > self.options.checkpoint_seconds:
                    self.write()
                    written = time.monotonic()
        self.write()
        if self.best:
            self.model.load_state_dict(self.best, strict=False)

    def epoch(self) -> dict[str, Any]:
        model, options, state = self.model, self.options, self.state
        started, cpu = time.perf_counter(), time.process_time()
        rng = rng_for(options.seed, "epoch", self.index, state.epoch)
        seed_torch(options.seed, "epoch", self.index, state.epoch, self.rank)
        lr = self.phase.lr * (self.phase.schedule(state.epoch) if self.phase.schedule else 1.0)
        model.train()
        model.on_epoch(state.epoch, rng)
        means = self.steps(lr, rng) if self.phase.sweep is None else self.phase.sweep(lr, rng)
        if not np.isfinite(means.get("loss", 0.0)):
            raise TrainingError(
                f"the loss of {model.name} is not finite in epoch {state.epoch}",
                key="lr",
                hint="lower the learning rate",
            )
        record: dict[str, Any] = {"phase": self.phase.name, "epoch": state.epoch}
        record |= means
        record["seconds"], record["cpu_seconds"] = time.perf_counter() - started, time.process_time() - cpu
        return record

    def steps(self, lr: float, rng: np.random.Generator) -> dict[str, float]:
        """One epoch of the optimiser over shuffled batches; means of all that the loss reports."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr * group["factor"]
        sums: dict[str, float] = {}
        seen = 0
        for rows in _batches(len(self.source), batch_size(self.model, len(self.source)), rng):
            batch, weight = self.source.batch(rows, rng, self.rank, self.world)
            losses = self.phase.loss(batch)
            self.optimiser.zero_grad(set_to_none=True)
            (losses["loss"] * weight).backward()
            distributed.average_gradients(self.phase.parameters, self.world)
            self.optimiser.step()
            for name, value in losses.items():
                mean = distributed.average(value.detach() * weight, self.world)
                sums[name] = sums.get(name, 0.0) + mean * len(rows)
            seen += len(rows)
        return {name: total / seen for name, total in sums.items()}

    def judge(self, record: dict[str, Any]) -> None:
        state = self.state
        if self.source.judge is None:
            return
        started = time.perf_counter()
        self.model.eval()
        score = self.source.judge()
        score = distributed.agree(score, self.world)
        if math.isnan(score):
            return
        record["valid"], record["valid_seconds"] = score, time.perf_counter() - started
        if score > state.best_score:
            state.best_score, state.best_epoch, state.stale = score, state.epoch, 0
            self.best.clear()
            self.best.update({name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()})
        else:
            state.stale += 1

    def write(self) -> None:
        if self.options.checkpoint is None or self.rank:
            return
        write_checkpoint(
            self.options.checkpoint,
            self.options.fingerprint,
            self.state,
            self.model.state_dict(),
            self.optimiser.state_dict(),
            self.best,
        )


def batch_size(model: Model, positives: int) -> int:
    """The configured batch; 0 grows with the data, so that an epoch has at most 64 steps.

    Models that propagate over the whole graph pay for the graph at every step: with a bounded number of steps the time
    per interaction stays what it is on a small graph.
    """
    configured = int(getattr(model.config, "batch_size", 2048))
    return configured or max(2048, -(-positives // 64))


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[IntArray]:
    order = rng.permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def _groups(phase: Phase) -> list[dict[str, Any]]:
    slow = {id(parameter) for parameter in phase.slow}
    usual = [parameter for parameter in phase.parameters if id(parameter) not in slow]
    groups = [{"params": usual, "factor": 1.0}, {"params": phase.slow, "factor": phase.slow_factor}]
    return [group for group in groups if group["params"]]


def _can_fuse(phase: Phase) -> bool:
    return all(p.is_floating_point() and p.dtype == torch.float32 for p in phase.parameters)


def _restore(optimiser: torch.optim.Optimizer, state: dict[int, dict[str, Tensor]]) -> None:
    described = optimiser.state_dict()
    described["state"] = state
    optimiser.load_state_dict(described)
