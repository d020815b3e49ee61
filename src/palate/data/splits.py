"""Splits into train, valid and test: parts of positives, content visible in fitting, candidates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palate.core.errors import ConfigError, DataError, did_you_mean

SplitKind = Literal["given", "random", "leave_one_out", "temporal", "item_cold", "user_cold"]
BoolArray = NDArray[np.bool_]
TRAIN, VALID, TEST, DROPPED = 0, 1, 2, -1
UNKNOWN_TIME = int(np.iinfo(np.int64).max)
"""In place of a time that is not known: an event without a time is never the oldest, and in no history of others."""


class SplitSpec(BaseModel):
    """Settings of a split; part of every result.

    ``item_cold`` draws ``default_rng(seed).choice(n_items, int(test * n_items))``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: SplitKind = Field(
        "random", description="given: by the part column; the others draw by row, time, item or user"
    )
    valid: float = Field(
        0.1, ge=0, lt=1, description="share of rows (random, temporal), items (item_cold) or users (user_cold)"
    )
    test: float = Field(0.1, ge=0, lt=1, description="share, as valid")
    seed: int = Field(0, description="seed of the draw")
    transductive: bool = Field(
        False, description="whether content of cold items may be seen in fitting (behaviour never is)"
    )
    mask: Literal["train", "all"] = Field(
        "train",
        description="items removed from the candidates at test: training positives (the published protocol) or all"
        " positives seen",
    )

    @property
    def headline(self) -> str:
        """The metric that selects, heads reports and is tested.

        Where items or users are new, the number of relevant items differs widely between users, so hits are related to
        the most that a list can hold (capped recall); elsewhere it is plain recall, as published results are.
        """
        return "capped_recall@20" if self.kind in ("item_cold", "user_cold") else "recall@20"

    @classmethod
    def parse(cls, text: str) -> SplitSpec:
        """Read text such as ``item_cold:seed=3,transductive=true``.

        Args:
            text: the kind, then settings; the cold kinds have shares of 0.2 by default.

        Raises:
            ConfigError: for an unknown kind or setting, or an impossible value.
        """
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
        part: int8 [n positives]; -1 (``DROPPED``) for those without a time in splits by time.
        refit: whether the final model is trained again on train + valid before test is opened.
        visible_items: bool [n_items], items whose content fitting may see.
        refit_items: bool [n_items], items whose content fitting on train + valid may see.
        valid_candidates: bool [n_items], or None for all items.
        test_candidates: bool [n_items], or None for all items.
        fold_in: whether valid and test users are unseen, and part of their positives is handed over as history.
        history: bool [n positives], the positives handed over; None without ``fold_in``.
    """

    part: NDArray[np.int8]
    refit: bool
    visible_items: BoolArray
    refit_items: BoolArray
    valid_candidates: BoolArray | None = None
    test_candidates: BoolArray | None = None
    fold_in: bool = False
    history: BoolArray | None = None


@dataclass(frozen=True, eq=False)
class Positives:
    """Positives, one for each (user, item) pair.

    Attributes:
        users: int64 [n], rows of the users' catalogue.
        items: int64 [n], rows of the items' catalogue.
        times: int64 [n], ``UNKNOWN_TIME`` where the log has no value, or None.
        part: int8 [n], a given split, or None.
        n_users: number of users.
        n_items: number of items.
        events: int64 [n], codes of event types as in :class:`palate.data.events.Events`, or None.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    times: NDArray[np.int64] | None
    part: NDArray[np.int8] | None
    n_users: int
    n_items: int
    events: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.users)


def make_split(spec: SplitSpec, data: Positives) -> Split:
    """Split positives; costs one sort of them.

    Args:
        spec: settings.
        data: the positives.

    Raises:
        DataError: if the split needs a time or a given part that the data lacks.
    """
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
    """int64 [n]: the number of the user's positives that come later (0 for the last)."""
    if data.times is None:
        raise DataError("this split needs a time", column="time", hint="use --split random or given")
    order = np.lexsort((np.arange(len(data)), data.times, data.users))
    counts = np.bincount(data.users, minlength=data.n_users)
    ends = np.cumsum(counts)
    rank = np.empty(len(data), np.int64)
    rank[order] = ends[data.users[order]] - 1 - np.arange(len(data))
    return rank


def timed(times: NDArray[np.int64] | None) -> BoolArray:
    """bool [n]: which times are known.

    Args:
        times: int64 [n], ``UNKNOWN_TIME`` where they are not known.
    """
    return np.zeros(0, bool) if times is None else np.asarray(times != UNKNOWN_TIME)


def _leave_one_out(spec: SplitSpec, data: Positives) -> Split:
    rank, known = _from_end(data), timed(data.times)
    unknown = np.bincount(data.users[~known], minlength=data.n_users)[data.users]
    enough = np.bincount(data.users[known], minlength=data.n_users)[data.users] >= 3
    rank = rank - unknown
    part = np.where(enough & (rank == 0), TEST, np.where(enough & (rank == 1), VALID, TRAIN)).astype(np.int8)
    part[~known] = DROPPED
    return _warm(spec, data, part)


def _temporal(spec: SplitSpec, data: Positives) -> Split:
    cuts, times = temporal_cuts(spec, data), np.asarray(data.times)
    part = np.select([times < cuts[0], times < cuts[1]], [TRAIN, VALID], TEST).astype(np.int8)
    part[~timed(times)] = DROPPED
    return _warm(spec, data, part)


def temporal_cuts(spec: SplitSpec, data: Positives) -> tuple[int, int]:
    """Times at which validation and test begin.

    Args:
        spec: settings.
        data: the positives.

    Raises:
        DataError: if no time is known.
    """
    if data.times is None or not timed(data.times).any():
        raise DataError("split 'temporal' needs a time", column="time", hint="use --split random or given")
    ordered = np.sort(data.times[timed(data.times)])
    last = len(ordered) - 1
    valid, test = (int(len(ordered) * share) for share in (1 - spec.test - spec.valid, 1 - spec.test))
    return int(ordered[min(valid, last)]), int(ordered[min(test, last)])


def cold_items(spec: SplitSpec, n_items: int) -> tuple[BoolArray, BoolArray]:
    """Items that are cold in validation and in test.

    Args:
        spec: settings.
        n_items: number of items.

    Returns:
        Two masks, bool [n_items].
    """
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


def cold_users(spec: SplitSpec, n_users: int) -> NDArray[np.int8]:
    """int8 [n_users]: the part that each user belongs to in split ``user_cold``.

    Args:
        spec: settings.
        n_users: number of users.
    """
    return _draw_users(spec, np.random.default_rng(spec.seed), n_users)


def _draw_users(spec: SplitSpec, rng: np.random.Generator, n_users: int) -> NDArray[np.int8]:
    draw = rng.random(n_users)
    return np.where(draw < spec.test, TEST, np.where(draw < spec.test + spec.valid, VALID, TRAIN)).astype(np.int8)


def _user_cold(spec: SplitSpec, data: Positives) -> Split:
    rng = np.random.default_rng(spec.seed)
    part = _draw_users(spec, rng, data.n_users)[data.users]
    within = rng.random(len(data)) if data.times is None else data.times.astype(np.float64)
    order = np.lexsort((np.arange(len(data)), within, data.users))
    counts = np.bincount(data.users, minlength=data.n_users)
    starts = np.cumsum(counts) - counts
    position = np.empty(len(data), np.int64)
    position[order] = np.arange(len(data)) - starts[data.users[order]]
    if data.times is not None:
        known = timed(data.times)
        counts = np.bincount(data.users[known], minlength=data.n_users)
        part[~known & (part != TRAIN)] = DROPPED
    history = (part > TRAIN) & (position < (counts[data.users] + 1) // 2)
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
