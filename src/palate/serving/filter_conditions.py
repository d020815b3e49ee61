"""What a filter asks of one column: values, bounds, and what must not hold."""

from __future__ import annotations

import calendar
import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from palate.core.errors import DataError

Operand = str | float
FilterValue = Operand | Sequence[Operand] | Mapping[str, object]
"""A value, several values (any of them), or parts: ``{"min": 5, "max": 9, "any": [...], "all": [...], "not": ...}``."""
PARTS = ("min", "max", "any", "all", "not")
DATE = re.compile(r"(\d{4})(?:-(\d{1,2})(?:-(\d{1,2}))?)?")


class Period(NamedTuple):
    """A day, month, year or moment.

    Attributes:
        first: its first second since 1970 UTC.
        last: its last second.
    """

    first: float
    last: float


@dataclass(frozen=True)
class Condition:
    """What must hold in one column.

    Attributes:
        any: values of which one is enough; None for no such part.
        all: values that are all needed.
        low: lower bound, None without.
        high: upper bound, None without.
        exclude: what must not hold.
    """

    any: tuple[Operand, ...] | None = None
    all: tuple[Operand, ...] = ()
    low: Operand | None = None
    high: Operand | None = None
    exclude: Condition | None = None

    @property
    def only_excludes(self) -> bool:
        """Whether nothing is asked but what must not hold, so that an item without a value is left in."""
        return self.exclude is not None and self.any is None and not self.all and not self.has_bounds

    @property
    def has_bounds(self) -> bool:
        """Whether there is a bound."""
        return self.low is not None or self.high is not None

    @property
    def operands(self) -> tuple[Operand, ...]:
        """Every value that is named, also what must not hold."""
        return (*(self.any or ()), *self.all, *(self.exclude.operands if self.exclude else ()))


def parse_condition(column: str, wanted: FilterValue) -> Condition:
    """The condition of one column.

    Args:
        column: name of the column, for errors.
        wanted: as a request says it.

    Raises:
        DataError: for an unknown part, or an operand that is neither a text nor a number.
    """
    if not isinstance(wanted, Mapping):
        return Condition(any=_operands(column, wanted))
    for name in wanted:
        if name not in PARTS:
            raise DataError("unknown part of a filter", column=column, key=name, hint=", ".join(PARTS))
    low, high = (None if wanted.get(name) is None else _operand(column, wanted[name], name) for name in ("min", "max"))
    return Condition(
        None if wanted.get("any") is None else _operands(column, wanted["any"]),
        () if wanted.get("all") is None else _operands(column, wanted["all"]),
        low,
        high,
        None if wanted.get("not") is None else parse_condition(column, wanted["not"]),  # type: ignore[arg-type]
    )


def parse_period(column: str, operand: Operand) -> Period:
    """A day, month or year, or a moment as ISO 8601 or seconds since 1970.

    Args:
        column: name of the column, for errors.
        operand: such as ``2020``, ``2020-03``, ``2020-03-31`` or ``2020-03-31T10:00``.

    Raises:
        DataError: if it is none of these.
    """
    if not isinstance(operand, str):
        return Period(operand, operand)
    try:
        if match := DATE.fullmatch(operand.strip()):
            year, month, day = (None if part is None else int(part) for part in match.groups())
            assert year is not None
            first = datetime.datetime(year, month or 1, day or 1, tzinfo=datetime.UTC)
            last = first.replace(month=month or 12)
            last = last.replace(day=day or calendar.monthrange(last.year, last.month)[1], hour=23, minute=59, second=59)
            return Period(first.timestamp(), last.timestamp())
        moment = datetime.datetime.fromisoformat(operand.strip())
    except (ValueError, OverflowError) as error:
        raise DataError(
            f"{operand!r} is not a date", column=column, hint="2020, 2020-03, 2020-03-31 or 2020-03-31T10:00"
        ) from error
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)).timestamp()
    return Period(seconds, seconds)


def parse_number(column: str, operand: Operand) -> float:
    """A number, also as text.

    Args:
        column: name of the column, for errors.
        operand: the number.

    Raises:
        DataError: if it is none.
    """
    try:
        number = float(operand)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise DataError(f"{operand!r} is not a number", column=column)
    return number


def _operands(column: str, wanted: object) -> tuple[Operand, ...]:
    several = isinstance(wanted, Sequence) and not isinstance(wanted, str)
    return tuple(_operand(column, one) for one in (wanted if several else [wanted]))  # type: ignore[attr-defined]


def _operand(column: str, operand: object, key: str | None = None) -> Operand:
    if isinstance(operand, str):
        return operand
    if isinstance(operand, bool) or not isinstance(operand, int | float) or math.isnan(operand):
        raise DataError(f"{operand!r} is not a number or text", column=column, key=key)
    return float(operand)
