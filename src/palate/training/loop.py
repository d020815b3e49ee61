"""The one training loop: phases, steps, validation, early stopping, bit-equal resume, data parallel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from palate.contracts import Model, Phase, StepInfo
from palate.core.allocator import keep_freed_memory
from palate.core.batch import BatchSource
from palate.core.context import RunContext
from palate.core.errors import PalateError
from palate.core.progress import progress as progress_bar
from palate.core.seeding import rng_for, seed_torch
from palate.data.views import TrainView
from palate.training import distributed
from palate.training.checkpoint import Progress, read_checkpoint, write_checkpoint
from palate.training.optim import make_optimizer, precision_context, restore_state, set_lr
from palate.training.prefetch import Epoch, Step, batches, steps


class TrainingError(PalateError):
    """Training cannot go on."""


def train(model: Model, view: TrainView, run: RunContext) -> Progress:
    """Run all phases of a model; afterwards it holds the weights of the best validation.

    Time O(epochs * rows); memory O(parameters + batch).

    Args:
        model: set up on ``view``.
        view: all that training may see.
        run: seed, device and checkpoint.

    Returns:
        Progress with one record an epoch.

    Raises:
        TrainingError: when a loss is not finite, or processes found different data or checkpoints.
    """
    keep_freed_memory()
    rank, world = distributed.start()
    resumed = read_checkpoint(run.checkpoint, run.fingerprint) if run.checkpoint else None
    state = Progress() if resumed is None else resumed[0]
    best: dict[str, Tensor] = {} if resumed is None else resumed[3]
    if resumed is not None:
        model.load_state_dict(resumed[1], strict=False)
    model.to(run.device)
    source = model.batches(view, run)
    validator = model.task.validator(model, view, run)
    if not distributed.all_equal([state.phase, state.epoch, len(source)], world):
        hint = "give every machine the same shared folders, or remove the checkpoint"
        raise TrainingError("the processes found different data or checkpoints", key=run.checkpoint, hint=hint)
    for index, phase in enumerate(model.phases()):
        if index < state.phase:
            continue
        optimizer = make_optimizer(phase)
        if resumed is not None and state.epoch > 0:
            restore_state(optimizer, resumed[2])
        _PhaseRun(model, source, validator, run, phase, index, state, best, optimizer, rank, world).run_phase()
        best = {}
        state.next_phase()
        resumed = None
    return state


def batch_size(model: Model, rows: int) -> int:
    """The configured batch; 0 grows with the data, so that an epoch has at most 64 batches.

    Models that propagate over the whole graph pay for the graph at every step: with a bounded number of steps the time
    per interaction stays what it is on a small graph.

    Args:
        model: whose setting counts.
        rows: of an epoch.
    """
    configured = int(getattr(model.config, "batch_size", 2048))
    return configured or max(2048, -(-rows // 64))


@dataclass
class _PhaseRun:
    model: Model
    source: BatchSource
    validator: Callable[[], float] | None
    run: RunContext
    phase: Phase
    index: int
    state: Progress
    best: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    rank: int
    world: int
    loss: torch.nn.Module = field(init=False)
    device: torch.device = field(init=False)
    whole: bool = field(init=False)

    def __post_init__(self) -> None:
        # finding a model's device walks through all its parts, too slow for every step
        self.device = self.model.device
        self.loss = distributed.parallel(self.model, self.phase.loss, self.phase.parameters, self.world)
        self.whole = bool(getattr(self.model.config, "whole_batches", False))
        per_epoch = batches(len(self.source), batch_size(self.model, len(self.source)), self.whole)
        per_epoch = -(-per_epoch // self.phase.accumulate)
        self.total = min(self.phase.epochs * per_epoch, self.phase.max_steps or self.phase.epochs * per_epoch)

    def run_phase(self) -> None:
        state, phase, validates = self.state, self.phase, self.phase.validate and self.validator is not None
        written = time.monotonic()
        with progress_bar(f"{self.model.name} {phase.name}", phase.epochs) as advance:
            advance(state.epoch)
            while state.epoch < phase.epochs and not self.finished():
                record = self.epoch()
                if validates and (state.epoch + 1) % getattr(self.model.config, "validate_every", 1) == 0:
                    self.validate(record)
                state.history.append(record)
                for callback in self.run.callbacks if not self.rank else ():
                    callback({"model": self.model.name, "metric": self.run.metric, **record})
                state.epoch += 1
                shown = self.model.task.rank_key(self.run.metric, state.best_score)
                score = f" {self.run.metric} {shown:.4f}" if validates and math.isfinite(shown) else ""
                advance(1, f"loss {record['loss']:.4f}{score}")
                if time.monotonic() - written > self.run.checkpoint_seconds:
                    self.write()
                    written = time.monotonic()
        self.write()
        if self.best:
            self.model.load_state_dict(self.best, strict=False)

    def finished(self) -> bool:
        """Whether steps or patience ran out."""
        spent = self.phase.max_steps is not None and self.state.step >= self.phase.max_steps
        validates = self.phase.validate and self.validator is not None
        return spent or (validates and self.state.epochs_without_improvement >= self.phase.patience)

    def epoch(self) -> dict[str, Any]:
        model, run, state = self.model, self.run, self.state
        started, cpu = time.perf_counter(), time.process_time()
        rng = rng_for(run.seed, "epoch", self.index, state.epoch)
        seed_torch(run.seed, "epoch", self.index, state.epoch, self.rank)
        model.train()
        model.on_epoch(state.epoch, rng)
        record: dict[str, Any] = {"phase": self.phase.name, "epoch": state.epoch}
        if self.phase.train_epoch is None:
            record |= self.train_steps(rng, record)
        else:
            record |= self.phase.train_epoch(self.lr(), rng)
        if not np.isfinite(record.get("loss", 0.0)):
            raise TrainingError(
                f"the loss of {model.name} is not finite in epoch {state.epoch}",
                key="lr",
                hint="lower the learning rate",
            )
        record["seconds"], record["cpu_seconds"] = time.perf_counter() - started, time.process_time() - cpu
        return record

    def lr(self) -> float:
        """Learning rate of the next step."""
        schedule, state = self.phase.schedule, self.state
        return self.phase.lr * (schedule(StepInfo(state.step, state.epoch, self.total)) if schedule else 1.0)

    def train_steps(self, rng: np.random.Generator, record: dict[str, Any]) -> dict[str, float]:
        """One epoch of the optimiser over shuffled batches; means of all that the loss reports."""
        size = batch_size(self.model, len(self.source))
        epoch = Epoch(self.run.seed, self.index, self.state.epoch, self.rank, self.world, self.run.workers)
        sums: dict[str, float] = {}
        seen, waiting = 0, 0
        count = batches(len(self.source), size, self.whole)
        for number, step in enumerate(steps(self.source, size, epoch, rng, self.run.device, self.whole)):
            if not waiting:
                self.optimizer.zero_grad(set_to_none=True)
            losses = self.backward(step)
            waiting += 1
            for name, value in losses.items():
                mean = distributed.average(value.detach() * step.weight, self.world)
                sums[name] = sums.get(name, 0.0) + mean * step.rows
            seen += step.rows
            if waiting == self.phase.accumulate or number == count - 1:
                self.update(waiting)
                waiting = 0
                self.validate_inside(record)
                if self.finished():
                    break
        return {name: total / seen for name, total in sums.items()}

    def backward(self, step: Step) -> Mapping[str, Tensor]:
        with precision_context(self.phase, self.device):
            losses: Mapping[str, Tensor] = self.loss(step.batch)
        loss = losses["loss"] if step.weight == 1.0 else losses["loss"] * step.weight
        loss.backward()
        return losses

    def update(self, accumulated: int) -> None:
        """One step of the optimiser with the gradients of ``accumulated`` batches."""
        if accumulated > 1:
            for parameter in self.phase.parameters:
                if parameter.grad is not None:
                    parameter.grad /= accumulated
        if self.phase.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.phase.parameters, self.phase.clip)
        set_lr(self.optimizer, self.lr())
        self.optimizer.step()
        self.state.step += 1

    def validate_inside(self, record: dict[str, Any]) -> None:
        """Validate inside an epoch where the phase asks for it."""
        every = self.phase.validate_every_steps
        if every and self.phase.validate and self.validator is not None and self.state.step % every == 0:
            inside: dict[str, Any] = {}
            self.validate(inside)
            if inside:
                record.setdefault("valid_inside", []).append({"step": self.state.step, "valid": inside["valid"]})
            self.model.train()

    def validate(self, record: dict[str, Any]) -> None:
        """Judge the present weights and keep them if they are the best."""
        state = self.state
        if self.validator is None:
            return
        started = time.perf_counter()
        self.model.eval()
        value = distributed.broadcast(self.validator(), self.world)
        if math.isnan(value):
            return
        record["valid"], record["valid_seconds"] = value, time.perf_counter() - started
        score = self.model.task.rank_key(self.run.metric, value)
        if score > state.best_score:
            state.best_score, state.best_epoch, state.epochs_without_improvement = score, state.epoch, 0
            self.best.clear()
            self.best.update({name: tensor.detach().clone() for name, tensor in self.model.trainable_state().items()})
        else:
            state.epochs_without_improvement += 1

    def write(self) -> None:
        if self.run.checkpoint is None or self.rank:
            return
        write_checkpoint(
            self.run.checkpoint,
            self.run.fingerprint,
            self.state,
            self.model.trainable_state(),
            self.optimizer.state_dict(),
            self.best,
        )
