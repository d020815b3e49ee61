"""Batches that are stored whole or not at all: every row that is wrong is named at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from palate.core.errors import DataError, PalateError

MAX_FAULTS = 20
"""Rows that are named at most."""

Row = TypeVar("Row")
Made = TypeVar("Made")
Faults = dict[int, PalateError]
"""Row, from 1 -> what is wrong with it."""


class BatchError(DataError):
    """Rows of a batch cannot be used, and so none is.

    Args:
        faults: what is wrong, by row.
        size: number of rows of the batch.

    Attributes:
        faults: the first :data:`MAX_FAULTS` of them.
    """

    def __init__(self, faults: Mapping[int, PalateError], size: int) -> None:
        rows = sorted(faults)
        self.faults = {row: faults[row] for row in rows[:MAX_FAULTS]}
        named = [place_of(faults[row], row) for row in self.faults]
        if len(rows) == 1:
            super().__init__(named[0], hint=faults[rows[0]].hint)
            return
        more = f"; and {len(rows) - MAX_FAULTS} more" if len(rows) > MAX_FAULTS else ""
        super().__init__(f"{len(rows)} of {size} rows are wrong, so none was stored: {'; '.join(named)}{more}")


def place_of(error: PalateError, row: int) -> str:
    """An error with its row, and the column and value that it names.

    Args:
        error: the error.
        row: its row, from 1.
    """
    named = (("column", error.column), ("key", error.key))
    place = "".join(f", {name} {value!r}" for name, value in named if value is not None)
    return f"row {row}{place}: {error.message}"


def each(rows: Iterable[Row], make: Callable[[Row], Made]) -> tuple[list[Made | None], Faults]:
    """What is made of each row, and what is wrong with the others.

    Args:
        rows: the rows.
        make: makes something of a row; a :class:`.PalateError` is what is wrong with it.
    """
    made, faults = list[Made | None](), Faults()
    for at, row in enumerate(rows):
        try:
            made.append(make(row))
        except PalateError as error:
            made.append(None)
            faults[at + 1] = error
    return made, faults


def raise_faults(faults: Mapping[int, PalateError], size: int) -> None:
    """Refuse a batch for what is wrong with its rows; nothing happens where nothing is.

    Args:
        faults: what is wrong, by row.
        size: number of rows of the batch.

    Raises:
        PalateError: the error itself, with its row, where one row is wrong.
        BatchError: where several are.
    """
    if len(faults) == 1:
        ((row, error),) = faults.items()
        error.row = row
        error.args = (str(error),)
        raise error
    if faults:
        raise BatchError(faults, size)
