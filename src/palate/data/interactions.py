"""Interactions of users with items, and the rule for positives."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from palate.core.errors import DataError, did_you_mean
from palate.core.files import digest
from palate.data.hashing import series_parts
from palate.data.times import cast_or_null

ROLES = (
    "user",
    "item",
    "time",
    "clock",
    "event",
    "rating",
    "weight",
    "query",
    "impression",
    "position",
    "propensity",
    "context",
    "label",
    "part",
    "row",
)
COMPARED = ("rating", "label", "weight")
"""Roles whose values the rule for positives compares with a number."""
_LISTED = 12
CONTEXT = "context:"
"""Prefix of the columns of :class:`Interactions` that hold context: ``context:device``."""


class RuleError(DataError):
    """The rule for positives cannot be read, or does not fit the log."""


class PositiveRule(BaseModel):
    """The rule for which interactions are positive; part of the dataset's hash and printed with every result."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    rating: str | None = Field(None, description="comparison that the rating must pass, such as >=4")
    event: tuple[str, ...] | None = Field(None, description="types of events that count")
    label: str | None = Field(None, description="comparison that the label must pass, such as >=1")
    weight: str | None = Field(None, description="comparison that the weight must pass, such as >0")

    @classmethod
    def parse(cls, rule: PositiveRule | Mapping[str, Any] | None) -> PositiveRule:
        """A rule from settings.

        Args:
            rule: a rule, or its settings; every interaction counts if None or empty.

        Raises:
            RuleError: for an unknown key or a value of the wrong type.
        """
        if isinstance(rule, PositiveRule):
            return rule
        try:
            return cls(**(rule or {}))
        except ValidationError as error:
            first = error.errors()[0]
            key = str(first["loc"][0])
            if key in COMPARED:
                hint = f"write a comparison such as {key}>=1; names of values need the role event: event=VALUE"
                raise RuleError(
                    f"cannot read the rule for positives: it compares {key} with a number", key=key, hint=hint
                ) from error
            hint = did_you_mean(key, cls.model_fields) + "; write for example {rating: '>=4'}"
            raise RuleError(f"cannot read the rule for positives: {first['msg']}", key=key, hint=hint) from error
        except TypeError as error:
            raise RuleError("the rule for positives is not a mapping", hint="write {rating: '>=4'}") from error

    def mask(self, frame: pl.DataFrame, file: str | None = None) -> pl.Series:
        """bool [n]: which rows are positive.

        Args:
            frame: interactions with a column for each role.
            file: the file they were read from, for error messages.

        Raises:
            RuleError: if a column that the rule needs is missing, or a comparison cannot be read.
        """
        keep = pl.repeat(True, len(frame), eager=True)
        for column in COMPARED:
            rule = getattr(self, column)
            if rule is not None:
                keep &= _compare(_ruled(frame, column, file), rule, frame, file).fill_null(False)
        if self.event is not None:
            events = _ruled(frame, "event", file).cast(pl.String)
            _check_events(events, self.event, file)
            keep &= events.is_in(list(self.event)).fill_null(False)
        return keep

    @property
    def accepts_all(self) -> bool:
        """Whether every interaction counts."""
        return self == PositiveRule()

    @property
    def key(self) -> str:
        """Text that two rules share only if they are the same; rules of older runs keep theirs."""
        return self.model_dump_json(exclude=None if self.weight else {"weight"})

    def __str__(self) -> str:
        parts = [f"{name} {rule}" for name in COMPARED if (rule := getattr(self, name))]
        parts += [f"event in {list(self.event)}"] if self.event else []
        return " and ".join(parts) or "every interaction"


@dataclass(frozen=True, eq=False)
class Interactions:
    """A log: one row an event.

    Attributes:
        frame: dense ``user`` and ``item`` rows and any of the other ``ROLES``. ``time`` is int64 (seconds, or any
            monotone integer), ``part`` a given split (0 train, 1 valid, 2 test), ``row`` the 1-based row of ``file``
            where it differs from the position in the frame. Context columns are named ``context:<column>``.
        file: the file it was read from, for error messages.
        dropped: row, column and value of each id that is in no table; their events are left out.

    Raises:
        DataError: if ``user`` or ``item`` is missing.
    """

    frame: pl.DataFrame
    file: str | None = None
    dropped: pl.DataFrame | None = None

    def __post_init__(self) -> None:
        for role in ("user", "item"):
            _role(self.frame, role)

    def __len__(self) -> int:
        return len(self.frame)

    def array(self, role: str) -> NDArray[Any]:
        """One column as a NumPy array.

        Args:
            role: one of ``ROLES``.

        Raises:
            DataError: if the log has no such column.
        """
        return _role(self.frame, role).to_numpy()

    def has(self, role: str) -> bool:
        """Whether the log has the column.

        Args:
            role: one of ``ROLES``.
        """
        return role in self.frame.columns

    @property
    def context(self) -> tuple[str, ...]:
        """Names of the context columns, without the prefix."""
        return tuple(name.removeprefix(CONTEXT) for name in self.frame.columns if name.startswith(CONTEXT))

    def in_time_order(self) -> pl.DataFrame:
        """All rows by time, ties in file order and rows without a time last; in file order where no time is known."""
        return self.frame.sort("time", maintain_order=True, nulls_last=True) if self.has("time") else self.frame

    def positives(self, rule: PositiveRule) -> Interactions:
        """The positive rows, repeats of a (user, item) pair merged into the first by time.

        Args:
            rule: which rows are positive.

        Raises:
            DataError: as :meth:`PositiveRule.mask`.
        """
        rows = self.frame.filter(rule.mask(self.frame, self.file))
        if self.has("time"):
            rows = rows.sort("time", maintain_order=True, nulls_last=True)
        return Interactions(rows.unique(["user", "item"], keep="first", maintain_order=True), self.file)

    def source_row(self, at: int) -> int:
        """The 1-based row of the source table that an entry came from.

        Args:
            at: position in ``frame``.
        """
        return int(self.frame["row"][at]) if self.has("row") else at + 1

    def content_hash(self) -> str:
        """Hash of all columns in order."""
        return digest(*(part for column in self.frame.columns for part in series_parts(self.frame[column])))


def _role(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise DataError(
            f"interactions have no {name!r}",
            column=name,
            hint=f"present: {', '.join(frame.columns)}; {did_you_mean(name, ROLES)}",
        )
    return frame[name]


def _ruled(frame: pl.DataFrame, name: str, file: str | None) -> pl.Series:
    if name not in frame.columns:
        hint = f"name it in palate.yaml (interactions: {{{name}: COLUMN}}); roles here: {', '.join(frame.columns)}"
        raise RuleError(
            f"the rule for positives needs the role {name!r}, which the log lacks", file=file, key=name, hint=hint
        )
    return frame[name]


def _check_events(events: pl.Series, wanted: Sequence[str], file: str | None) -> None:
    counts = events.drop_nulls().value_counts(sort=True)
    known = counts[counts.columns[0]].to_list()
    if known and not set(wanted) & set(known):
        listed = ", ".join(map(str, known[:_LISTED])) + (" ..." if len(known) > _LISTED else "")
        hint = f"events here: {listed}"
        raise RuleError("no interaction has this event", file=file, column="event", key=", ".join(wanted), hint=hint)


def _compare(values: pl.Series, rule: str, frame: pl.DataFrame, file: str | None) -> pl.Series:
    match = re.fullmatch(r"\s*(>=|<=|>|<|==|=)\s*(-?\d+(?:\.\d+)?)\s*", rule)
    if not match:
        hint = "write a comparison with a number, such as '>=4'"
        raise RuleError("cannot read the comparison", file=file, column=values.name, key=rule, hint=hint)
    sign, number = match[1], float(match[2])
    column = cast_or_null(values, pl.Float64())
    bad = (column.is_null() & values.is_not_null()).arg_true()
    if len(bad):
        at = int(bad[0])
        row = int(frame["row"][at]) if "row" in frame.columns else at + 1
        hint = f"use numbers, or make {values.name!r} the role 'event' and name the values that count: event=VALUE"
        raise RuleError(
            f"the rule {values.name}{rule} needs numbers, not {values[at]!r}",
            file=file,
            row=row,
            column=values.name,
            hint=hint,
        )
    return {
        ">=": column >= number,
        "<=": column <= number,
        ">": column > number,
        "<": column < number,
    }.get(sign, column == number)
