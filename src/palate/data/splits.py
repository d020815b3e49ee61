"""Splits: which positive belongs to train, valid and test, what may be seen in fitting, who the candidates are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palate.core.errors import ConfigError, DataError, did_you_mean

SplitKind = Literal["given", "random", "leave_one_out", "temporal", "item_cold", "user_cold"]
Bools = NDArray[np.bool_]
TRAIN, VALID, TEST, DROPPED = 0, 1, 2, -1


class SplitSpec(BaseModel):
    """How to split; part of every result.

    Attributes:
        kind: ``given`` follows the ``part`` column; the others draw by row, time, item or user.
        valid, test: shares of rows (random, temporal), items (item_cold) or users (user_cold).
        seed: the draw; ``item_cold`` draws ``default_rng(seed).choice(n_items, int(test * n_items))``.
        transductive: content of cold items may be seen in fitting (behaviour never).
        mask: what is taken out of candidates at test: ``train`` positives (published protocol) or ``all`` seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: SplitKind = "random"
    valid: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)
    seed: int = 0
    transductive: bool = False
    mask: Literal["train", "all"] = "train"

    @property
    def headline(self) -> str:
        """The metric that selects, heads reports and is tested.

        Where items or users are new, the number of relevant items differs widely between users, so hits are related to
        the most that a list can hold (capped recall); elsewhere it is plain recall, as published results are.
        """
        return "capped_recall@20" if self.kind in ("item_cold", "user_cold") else "recall@20"

    @classmethod
    def parse(cls, text: str) -> SplitSpec:
        """Read ``item_cold:seed=3,transductive=true``."""
        kind, _, tail = text.partition(":")
        settings: dict[str, Any] = {"kind": kind.strip()}
        if kind.strip() in ("item_cold", "user_cold"):
            settings |= {"valid": 0.2, "test": 0.2}
        for pair in filter(None, (p.strip() for p in tail.split(","))):
            key, eq, value = pair.partition("=")
            if not eq:
                raise ConfigError("a split setting needs a value", key=pair, hint="write kind:key=value,key=value")
            if key not in cls.model_fields:
                raise ConfigError("unknown split setting", key=key, hint=did_you_mean(key, cls.model_fields))
            settings[key.strip()] = value.strip()
        try:
            return cls(**settings)
        except ValidationError as error:
            first = error.errors()[0]
            raise ConfigError(str(first["msg"]), key=".".join(map(str, first["loc"])) or text) from error

    def __str__(self) -> str:
        changed = {k: v for k, v in self.model_dump(exclude_defaults=True).items() if k != "kind"}
        return self.kind + (":" + ",".join(f"{k}={v}" for k, v in changed.items()) if changed else "")


@dataclass(frozen=True, eq=False)
class Split:
    """The outcome of a :class:`SplitSpec` on one dataset.

    Attributes:
        part: int8 [n positives].
        refit: whether the final model is trained again on train + valid before test is opened.
        visible_items, refit_items: bool [n_items], content that fitting may see in either stage.
        valid_candidates, test_candidates: bool [n_items] or None for all items.
        fold_in: valid and test users are unseen; part of what they did is handed over as history.
    """

    part: NDArray[np.int8]
    refit: bool
    visible_items: Bools
    refit_items: Bools
    valid_candidates: Bools | None = None
    test_candidates: Bools | None = None
    fold_in: bool = False
    history: Bools | None = None


@dataclass(frozen=True, eq=False)
class Positives:
    """Arrays a split works on: dense users and items, times and a given part where known."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[np.int64] | None
    part: NDArray[np.int8] | None
    n_users: int
    n_items: int

    def __len__(self) -> int:
        return len(self.users)


def make_split(spec: SplitSpec, data: Positives) -> Split:
    """Split ``data`` as ``spec`` says. Cost: one sort of the positives."""
    return _KINDS[spec.kind](spec, data)


def _warm(spec: SplitSpec, data: Positives, part: NDArray[np.int8]) -> Split:
    everything = np.ones(data.n_items, bool)
    if spec.transductive or spec.kind != "temporal":
        return Split(part, False, everything, everything)
    seen = np.zeros(data.n_items, bool)
    seen[data.items[part == TRAIN]] = True
    return Split(part, False, seen, seen)


def _given(spec: SplitSpec, data: Positives) -> Split:
    if data.part is None:
        raise DataError("split 'given' needs a part column", column="part", hint="use --split random")
    return _warm(spec, data, data.part)


def _random(spec: SplitSpec, data: Positives) -> Split:
    draw = np.random.default_rng(spec.seed).random(len(data))
    part = np.where(draw < spec.test, TEST, np.where(draw < spec.test + spec.valid, VALID, TRAIN)).astype(np.int8)
    return _warm(spec, data, _keep_one(data, part, draw))


def _keep_one(data: Positives, part: NDArray[np.int8], draw: NDArray[np.float64]) -> NDArray[np.int8]:
    """Every user keeps one training positive: the one with the largest draw."""
    order = np.lexsort((draw, data.users))
    last = np.append(data.users[order][1:] != data.users[order][:-1], True) if len(order) else np.zeros(0, bool)
    part = part.copy()
    part[order[last]] = TRAIN
    return part


def _from_end(data: Positives) -> NDArray[np.int64]:
    """How many of the user's positives come later (0 = the last)."""
    if data.times is None:
        raise DataError("this split needs a time", column="time", hint="use --split random or given")
    order = np.lexsort((np.arange(len(data)), data.times, data.users))
    counts = np.bincount(data.users, minlength=data.n_users)
    ends = np.cumsum(counts)
    rank = np.empty(len(data), np.int64)
    rank[order] = ends[data.users[order]] - 1 - np.arange(len(data))
    return rank


def _leave_one_out(spec: SplitSpec, data: Positives) -> Split:
    rank = _from_end(data)
    enough = np.bincount(data.users, minlength=data.n_users)[data.users] >= 3
    part = np.where(enough & (rank == 0), TEST, np.where(enough & (rank == 1), VALID, TRAIN)).astype(np.int8)
    return _warm(spec, data, part)


def _temporal(spec: SplitSpec, data: Positives) -> Split:
    if data.times is None:
        raise DataError("split 'temporal' needs a time", column="time", hint="use --split random or given")
    ordered = np.sort(data.times)
    cut = [ordered[min(int(len(data) * share), len(data) - 1)] for share in (1 - spec.test - spec.valid, 1 - spec.test)]
    part = np.select([data.times < cut[0], data.times < cut[1]], [TRAIN, VALID], TEST).astype(np.int8)
    return _warm(spec, data, part)


def cold_items(spec: SplitSpec, n_items: int) -> tuple[Bools, Bools]:
    """bool [n_items] of (validation-cold, test-cold) items."""
    test = np.zeros(n_items, bool)
    test[np.random.default_rng(spec.seed).choice(n_items, int(spec.test * n_items), replace=False)] = True
    warm = np.flatnonzero(~test)
    valid = np.zeros(n_items, bool)
    valid[np.random.default_rng([spec.seed, 1]).choice(warm, int(spec.valid * len(warm)), replace=False)] = True
    return valid, test


def _item_cold(spec: SplitSpec, data: Positives) -> Split:
    valid, test = cold_items(spec, data.n_items)
    part = np.select([test[data.items], valid[data.items]], [TEST, VALID], TRAIN).astype(np.int8)
    everything = np.ones(data.n_items, bool)
    fit, refit = (everything, everything) if spec.transductive else (~test & ~valid, ~test)
    return Split(part, True, fit, refit, valid, test)


def _user_cold(spec: SplitSpec, data: Positives) -> Split:
    rng = np.random.default_rng(spec.seed)
    draw = rng.random(data.n_users)
    group = np.where(draw < spec.test, TEST, np.where(draw < spec.test + spec.valid, VALID, TRAIN)).astype(np.int8)
    part = group[data.users]
    within = rng.random(len(data)) if data.times is None else data.times.astype(np.float64)
    order = np.lexsort((np.arange(len(data)), within, data.users))
    counts = np.bincount(data.users, minlength=data.n_users)
    starts = np.cumsum(counts) - counts
    position = np.empty(len(data), np.int64)
    position[order] = np.arange(len(data)) - starts[data.users[order]]
    history = (part != TRAIN) & (position < (counts[data.users] + 1) // 2)
    everything = np.ones(data.n_items, bool)
    return Split(part, True, everything, everything, fold_in=True, history=history)


_KINDS: dict[str, Callable[[SplitSpec, Positives], Split]] = {
    "given": _given,
    "random": _random,
    "leave_one_out": _leave_one_out,
    "temporal": _temporal,
    "item_cold": _item_cold,
    "user_cold": _user_cold,
}
