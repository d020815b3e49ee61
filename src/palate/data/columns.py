"""Roles and kinds of columns, guessed where they are not given: id, text, picture, user, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import COLUMN_KINDS
from palate.data.column_kinds import ColumnGuess, guess_column
from palate.data.column_names import ROLE_NAMES, find_role, is_known_name, name_words, squash
from palate.data.interactions import CONTEXT, ROLES
from palate.data.issues import DataIssue
from palate.data.item_columns import FORMS
from palate.data.key_columns import find_key
from palate.data.role_numbers import role_numbers
from palate.data.time_of_day import CLOCK_WORDS, clock_seconds, is_clock, is_duration, is_whole_days, may_be_time
from palate.data.times import looks_like_time, read_times, reject_rows

TIME_FORMAT = "time_format"
"""Key beside the roles of a log: how its times are written."""
_HALF_EMPTY = 0.5
PARTS = {"train": 0, "training": 0, "valid": 1, "validation": 1, "val": 1, "dev": 1, "test": 2, "testing": 2}


@dataclass(frozen=True)
class ItemGuess:
    """What the columns of the items' table are.

    Attributes:
        item_id: the column of ids.
        columns: column -> what it is taken for; columns to ignore are left out.
        notes: what was guessed.
        log_item: the column of the log that holds the same ids, where it was found.
        guessed: whether the kinds were guessed.
    """

    item_id: str
    columns: Mapping[str, ColumnGuess]
    notes: tuple[str, ...]
    log_item: str | None = None
    guessed: bool = False


def guess_items(
    frame: pl.DataFrame,
    columns: Mapping[str, str | None] | None,
    log: pl.DataFrame | None = None,
    log_item: str | None = None,
) -> ItemGuess:
    """Kinds of the columns of the items' table.

    Args:
        frame: the items' table.
        columns: column -> ``id``, a kind, a form of an attribute (``number``, ``category``, ``list``) or ``ignore``;
            what is given is not guessed, and once any content column is given no other is guessed. A kind -> None says
            that no column is of this kind.
        log: interactions; the item column whose name and values both tables share is preferred as the id.
        log_item: the column of the log that names the item, where it is given.

    Returns:
        The id column and what the others are, with notes on what was guessed.

    Raises:
        DataError: for an unknown column or kind, or items without a recognisable id.
    """
    given, refused = _given_kinds(frame, columns)
    ids = [column for column, kind in given.items() if kind == "id"]
    found = find_key(frame, log, "item", log_item, ids[0] if ids else None)
    item_id = ids[0] if ids else found[0] if found else None
    if item_id is None:
        raise DataError(
            "cannot tell which column is the item id",
            hint=f"name it in palate.yaml (items: {{id: COLUMN}}){_headless(frame)}; "
            f"columns: {', '.join(frame.columns)}",
        )
    notes = [] if ids else [f"items: id is {item_id!r}"]
    guesses = {c: ColumnGuess(_kind(k), k if k in FORMS else "") for c, k in given.items() if k not in ("id", "ignore")}
    guesses = {c: _with_form(frame[c], guess) for c, guess in guesses.items()}
    rest = [c for c in frame.columns if c != item_id and c not in given]
    named = bool(guesses)
    if named:
        guesses |= {c: ColumnGuess(None, reason="the settings do not name it") for c in rest}
    else:
        guesses = {c: guess_column(frame[c]) for c in rest}
        for column, guess in guesses.items():
            if guess.kind in refused:
                guesses[column] = ColumnGuess(None, reason=f"the settings say that nothing is {guess.kind}")
    return ItemGuess(item_id, guesses, tuple(notes), None if found is None else found[1], not named)


def kind_notes(kinds: Mapping[str, str]) -> list[str]:
    """What the columns of the items were taken for, one line a kind.

    Args:
        kinds: column -> kind.
    """
    found = {kind: [column for column, one in kinds.items() if one == kind] for kind in COLUMN_KINDS}
    return [f"items: {kind} is {', '.join(columns)}" for kind, columns in found.items() if columns]


def guess_interactions(
    frame: pl.DataFrame,
    roles: Mapping[str, str | Sequence[str] | None] | None,
    keys: Mapping[str, str | None] | None = None,
    given_split: bool = False,
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Roles of the columns of a log.

    Args:
        frame: the log.
        roles: role -> column; several columns for ``context``; None for a role that no column has. What is given is
            not guessed. ``time_format`` is no role and passed over.
        keys: ``user`` and ``item`` -> the column that holds the ids of their tables, where one was found.
        given_split: whether the log is known to say which part an event belongs to.

    Returns:
        Role -> column, with one ``context:<column>`` for each context column, and notes on what was guessed.

    Raises:
        DataError: for an unknown role or column, several columns for another role than ``context``, or a log without a
            recognisable user or item.
    """
    chosen, refused = _given_roles(frame, roles)
    explicit = set(chosen)
    shared = keys or {}
    for role in ROLE_NAMES:
        if role in chosen or role in refused:
            continue
        taken = {*chosen.values(), *(column for other, column in shared.items() if other != role)}
        free = [column for column in frame.columns if column not in taken]
        if shared.get(role) in free:
            chosen[role] = str(shared[role])
            continue
        names = [c for c in find_role(role, free) if role != "part" or given_split or _is_part(frame[c])]
        names = _likely(frame, role, names) if TIME_FORMAT not in (roles or {}) else names
        if names:
            chosen[role] = names[0]
    if "time" in chosen and not {"clock", "time"} & {*explicit, *refused} and (clock := _clock(frame, chosen)):
        chosen["clock"] = clock
    for role in ("user", "item"):
        if role not in chosen:
            raise DataError(
                f"cannot tell which column is the {role}",
                hint=f"name it in palate.yaml (interactions: {{{role}: COLUMN}}){_headless(frame)}; "
                f"columns: {', '.join(frame.columns)}",
            )
    guesses = (f"interactions: {role} is {column!r}" for role, column in chosen.items() if role not in explicit)
    return chosen, tuple(guesses)


def unused_columns(frame: pl.DataFrame, roles: Mapping[str, str], refused: Sequence[str] = ()) -> list[DataIssue]:
    """Columns of a log that have no role; the one that looks like a time is named where there is no time.

    Args:
        frame: the log.
        roles: role -> column.
        refused: roles that are not wanted.
    """
    rest = [column for column in frame.columns if column not in roles.values()]
    issues = []
    timed = [c for c in rest if looks_like_time(frame[c])] if "time" not in roles and "time" not in refused else []
    for column in timed:
        hint = f"name it in palate.yaml (interactions: {{time: {column}}})"
        issues.append(
            DataIssue(
                "time_unused", "warning", "no time found; this column looks like one", None, (), column, hint=hint
            )
        )
    for column in rest:
        if column not in timed:
            reason = (
                " (its values are not train, valid and test)"
                if squash(column) in map(squash, ROLE_NAMES["part"])
                else ""
            )
            hint = "name a role in palate.yaml, such as interactions: {context: [...]}"
            issues.append(
                DataIssue("column_unused", "note", f"is carried but not used{reason}", None, (), column, hint=hint)
            )
    return issues


def type_log(
    frame: pl.DataFrame, roles: Mapping[str, str], file: str | None, time_format: str | None = None
) -> tuple[list[pl.Series], list[DataIssue]]:
    """Columns of a log in the types of their roles: ``time`` as integer seconds, ``part`` as 0, 1 or 2, numbers.

    Args:
        frame: the log.
        roles: role -> column.
        file: the file it was read from, for error messages.
        time_format: how times are written, see :func:`palate.data.times.read_times`.

    Returns:
        The columns that have such a role, and what was decided for the times.

    Raises:
        DataError: naming row and column of a value that cannot be read.
    """
    typed: dict[str, pl.Series] = {}
    issues = []
    if "time" in roles:
        column = roles["time"]
        read = read_times(frame[column], file, time_format)
        typed[column] = read.seconds if "clock" not in roles else read.seconds + _day_seconds(frame, roles, file)
        if read.form:
            issues.append(DataIssue("time_form", "note", f"times are read as {read.form}", None, (), column))
        if read.absent:
            issues.append(DataIssue("time_placeholder", "note", read.absent, None, (), column))
        if read.doubt:
            hint = "say it in palate.yaml: interactions: {time_format: ...}"
            issues.append(DataIssue("time_ambiguous", "warning", read.doubt, None, (), column, hint=hint))
    if "part" in roles:
        typed[roles["part"]] = _parts(frame[roles["part"]], file)
    for role in ("rating", "weight", "propensity"):
        if role in roles:
            values = frame[roles[role]]
            numbers, respelled = role_numbers(values)
            bad = (numbers.is_null() & values.is_not_null()) | numbers.is_nan() | numbers.is_infinite()
            hint = (
                f"write a number, or empty the cell; in palate.yaml absent: [...] lists words for no value, and "
                f"interactions: {{{role}: null}} says that the column is no {role}"
            )
            reject_rows(bad.fill_null(False), values, f"{role} is not a finite number", file, hint)
            if respelled:
                message = f"texts such as {values.drop_nulls()[0]!r} are read as {numbers.drop_nulls()[0]:g}"
                issues.append(DataIssue("number_in_text", "note", message, None, (), roles[role]))
            typed[roles[role]] = numbers
    return [values.alias(name) for name, values in typed.items()], issues


def _likely(frame: pl.DataFrame, role: str, names: list[str]) -> list[str]:
    """Columns with a name of a role, without those whose values say that they are something else.

    An empty column is left out if another one has values. For ``time``, columns of durations are left out, and columns
    of times of day if there is a column of dates.
    """
    if role not in ("user", "item", "time"):
        return names
    names = sorted(names, key=lambda c: frame[c].null_count() > _HALF_EMPTY * len(frame))
    if role != "time":
        return names
    fit = [c for c in names if may_be_time(frame[c])]
    return fit or [c for c in names if not is_duration(frame[c])]


def _clock(frame: pl.DataFrame, chosen: Mapping[str, str]) -> str | None:
    """The column of times of day that belongs to a column of dates; None without one."""
    if not is_whole_days(frame[chosen["time"]]):
        return None
    rest = [c for c in frame.columns if c not in chosen.values() and set(name_words(c)) & CLOCK_WORDS]
    clocks = [c for c in rest if is_clock(frame[c])]
    return clocks[0] if len(clocks) == 1 else None


def _day_seconds(frame: pl.DataFrame, roles: Mapping[str, str], file: str | None) -> pl.Series:
    """Seconds since midnight of the column that says when in the day an event was; 0 where it is empty."""
    values = frame[roles["clock"]]
    seconds = clock_seconds(values)
    reject_rows(seconds.is_null() & values.is_not_null(), values, "not a time of day", file, "write 14:05 or 14:05:30")
    return seconds.fill_null(0)


def _parts(values: pl.Series, file: str | None) -> pl.Series:
    if values.dtype == pl.String:
        codes = values.str.strip_chars().str.to_lowercase().replace_strict(PARTS, default=None, return_dtype=pl.Int8)
        reject_rows(codes.is_null(), values, "part is not train, valid or test", file)
        return codes
    reject_rows(~values.is_in([0, 1, 2]).fill_null(False), values, "part is not 0, 1 or 2", file)
    return values


@contextmanager
def errors_from(file: str | None) -> Iterator[None]:
    """Context in which errors that do not name a file get one.

    Args:
        file: the file that is being read; None changes nothing.

    Raises:
        DataError: as raised inside, with ``file``.
    """
    try:
        yield
    except DataError as error:
        if file is None or error.file is not None:
            raise
        raise type(error)(
            error.message, file=file, row=error.row, column=error.column, key=error.key, hint=error.hint
        ) from error


def _headless(frame: pl.DataFrame) -> str:
    """A hint for a table whose first line may be a row: a name has digits, and none is a usual one."""
    digits = any(sign.isdigit() for column in frame.columns for sign in column)
    odd = digits and not any(map(is_known_name, frame.columns))
    return ", or write header: none if the first line is a row" if odd else ""


def _given_kinds(
    frame: pl.DataFrame, columns: Mapping[str, str | None] | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Column -> kind as given, and the kinds that no column has."""
    refused = tuple(kind for kind, value in (columns or {}).items() if value is None and kind in COLUMN_KINDS)
    given = {
        column: kind or "ignore"
        for column, kind in (columns or {}).items()
        if column not in refused or column in frame.columns
    }
    for column in given:
        if column not in frame.columns:
            raise DataError("items have no such column", column=column, hint=did_you_mean(column, frame.columns))
    for column, kind in given.items():
        if kind not in (*COLUMN_KINDS, *FORMS, "id", "ignore"):
            known = (*COLUMN_KINDS, *FORMS)
            raise DataError(f"unknown kind {kind!r}", column=column, hint=did_you_mean(kind, known))
    return given, refused


def _kind(kind: str) -> str:
    return "attributes" if kind in FORMS else kind


def _with_form(values: pl.Series, guess: ColumnGuess) -> ColumnGuess:
    """A given attribute is read as what its values look like, unless its form is given too."""
    if guess.kind != "attributes" or guess.form:
        return guess
    seen = guess_column(values)
    return ColumnGuess("attributes", seen.form if seen.kind == "attributes" else "")


def _given_roles(
    frame: pl.DataFrame, roles: Mapping[str, str | Sequence[str] | None] | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Role -> column as given, and the roles that no column has."""
    chosen: dict[str, str] = {}
    given = {role: named for role, named in (roles or {}).items() if role != TIME_FORMAT}
    refused = tuple(role for role, named in given.items() if named is None)
    for role, named in given.items():
        if role not in ROLES:
            raise DataError("unknown role", key=role, hint=did_you_mean(role, ROLES))
        columns = [] if named is None else [named] if isinstance(named, str) else list(named)
        if named is not None and len(columns) != 1 and role != "context":
            raise DataError("a role other than context has exactly one column", key=role)
        for column in columns:
            if column not in frame.columns:
                hint = did_you_mean(column, frame.columns)
                raise DataError("interactions have no such column", column=column, hint=hint)
            chosen[CONTEXT + column.removeprefix(CONTEXT) if role == "context" else role] = column
    return chosen, refused


def _is_part(values: pl.Series) -> bool:
    """Whether a column named like a split is one: words of parts, or 0, 1 and 2 where the name says nothing else."""
    present = values.drop_nulls()
    if not len(present):
        return False
    if present.dtype == pl.String:
        known = present.str.strip_chars().str.to_lowercase().is_in(list(PARTS))
        return float(known.mean() or 0.0) >= 0.5  # type: ignore[arg-type]
    if not present.dtype.is_integer():
        return False
    # 0 and 1 alone, or under the name split, are more likely the arms of a test
    codes = set(present.unique().to_list())
    name = squash(values.name)
    return name != "split" and codes <= {0, 1, 2} and (name == "xlabel" or 2 in codes)
