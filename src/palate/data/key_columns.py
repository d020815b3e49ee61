"""The column by which two tables are joined: found by the values they share, then by its name."""

from __future__ import annotations

import polars as pl

from palate.data.column_names import ROLE_NAMES, find_role, is_code_name, is_known_name, squash

_SAMPLE = 5000
_ALIKE, _ENOUGH = 0.95, 0.5


def key_overlap(ids: pl.Series, values: pl.Series) -> float:
    """The share of the different values of a column that are among some ids, compared by their spelling.

    Args:
        ids: of a table.
        values: a column of another table.
    """
    wanted, known = _distinct(values), _spelled(ids)
    return 0.0 if wanted is None or known is None else _share(wanted, known)


def find_key(
    table: pl.DataFrame,
    log: pl.DataFrame | None,
    role: str,
    log_column: str | None = None,
    column: str | None = None,
) -> tuple[str, str | None] | None:
    """The column of a table that holds its ids, and the column of the log that names them.

    Args:
        table: one row an item or user.
        log: the interactions.
        role: ``item`` or ``user``.
        log_column: the column of the log, where it is given.
        column: the column of the table, where it is given.

    Returns:
        The column of the table and that of the log, None for the latter where the values do not show it; None if no
        column of the table is named or filled like ids.
    """
    named = [column] if column else find_role(role, table.columns)
    if log is None or not len(log):
        return (named[0], None) if named else None
    others = {squash(name) for other, names in ROLE_NAMES.items() if other != role for name in names}
    # a column that is given and not there is refused where the roles are read
    log_column = log_column if log_column in log.columns else None
    likely = [log_column] if log_column else find_role(role, log.columns)
    free = [c for c in log.columns if squash(c) not in others or c in likely]
    own = (
        named if column else [*named, *(c for c in table.columns if c not in named and (c in free or is_code_name(c)))]
    )
    found = _best(table, log, own, likely, role) or (None if log_column else _best(table, log, own, free, role))
    if found is None and column is None:
        found = _best(table, log, [c for c in table.columns if c not in own], likely, role)
    if found is not None:
        return found
    shared = [c for c in named if c in log.columns]
    return ((shared or named)[0], None) if named else None


def is_among(name: str, values: pl.Series) -> bool:
    """Whether the name of a column is one of the ids of another table, and no usual name.

    Args:
        name: of a column.
        values: ids.
    """
    ids = None if is_known_name(name) else _spelled(values)
    return ids is not None and bool((ids == name).any())


def _best(
    table: pl.DataFrame, log: pl.DataFrame, columns: list[str], others: list[str], role: str
) -> tuple[str, str] | None:
    """The pair of columns that share most values; of pairs that share about as many, that with the plainest names."""
    scored = []
    wanted = {other: _distinct(log[other]) for other in others}
    order = [squash(name) for name in ROLE_NAMES[role]]
    for column in columns:
        ids = _spelled(table[column])
        if ids is None or ids.drop_nulls().n_unique() < len(table):
            continue
        for at, other in enumerate(others):
            distinct = wanted[other]
            overlap = 0.0 if distinct is None else _share(distinct, ids)
            if squash(column) != squash(other) and squash(other) not in order and _counts(log[other]):
                # numbers from 1 on are among those of any other column
                continue
            if overlap >= _ENOUGH or (overlap > 0 and squash(column) == squash(other) != "id"):
                rank = order.index(squash(column)) if squash(column) in order else len(order)
                scored.append((overlap, squash(column) == squash(other), -rank, -at, column, other))
    if not scored:
        return None
    named = [one for one in scored if one[1] and squash(one[4]) in order and squash(one[4]) != "id"]
    best = max(one[0] for one in scored)
    alike = named or [one for one in scored if one[0] >= _ALIKE * best]
    chosen = max(alike, key=lambda one: (one[1], one[2], one[3], one[0]))
    return chosen[4], chosen[5]


def _counts(values: pl.Series) -> bool:
    """Whether a column holds small numbers one after the other, such as positions and hours."""
    if not values.dtype.is_integer() or values.null_count() == len(values):
        return False
    low, high = int(values.min()), int(values.max())  # type: ignore[arg-type]
    return 0 <= low <= 1 and high < 2 * values.n_unique() + 10


def _share(distinct: pl.Series, ids: pl.Series) -> float:
    return float(distinct.is_in(ids.drop_nulls().implode()).mean() or 0.0)  # type: ignore[arg-type]


def _distinct(values: pl.Series) -> pl.Series | None:
    """Some different values of a column, spread over all its rows, as text."""
    rows = values if len(values) <= 20 * _SAMPLE else values.gather_every(len(values) // (20 * _SAMPLE))
    spelled = _spelled(rows)
    if spelled is None:
        return None
    distinct = spelled.drop_nulls().unique(maintain_order=True)
    return distinct if len(distinct) <= _SAMPLE else distinct.gather_every(len(distinct) // _SAMPLE)


def _spelled(values: pl.Series) -> pl.Series | None:
    """Values as text, whole floats without their fraction; None for columns that cannot hold ids."""
    if values.dtype == pl.String:
        return values.str.strip_chars()
    if values.dtype.is_integer():
        return values.cast(pl.String)
    if values.dtype.is_float():
        whole = (values.floor() == values) & values.is_finite()
        return values.cast(pl.Int64, strict=False).cast(pl.String) if whole.fill_null(True).all() else None
    return None
