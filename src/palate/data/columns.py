"""Roles and kinds of columns, guessed where they are not given: id, text, picture, user, time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import polars as pl

from palate.core.errors import DataError, did_you_mean
from palate.data.catalog import COLUMN_KINDS
from palate.data.interactions import CONTEXT, ROLES
from palate.data.times import cast_or_null, parse_times, reject_rows

ITEM_IDS = ("item_id", "itemid", "item", "movie_id", "movieid", "asin", "parent_asin", "product_id", "sku", "id")
NAMES: dict[str, tuple[str, ...]] = {
    "user": ("user_id", "userid", "user", "uid", "reviewerid", "visitor_id", "customer_id"),
    "item": ITEM_IDS,
    "time": ("timestamp", "time", "ts", "date", "datetime", "unixreviewtime", "sort_timestamp"),
    "event": ("event", "event_type", "action"),
    "rating": ("rating", "overall", "score", "stars"),
    "label": ("label", "clicked", "click"),
    "weight": ("weight",),
    "query": ("query_id", "query"),
    "impression": ("impression_id", "session_id", "impression"),
    "position": ("position", "rank"),
    "propensity": ("propensity", "pscore", "propensity_score"),
    "part": ("part", "split", "x_label"),
}
MEDIA_ENDINGS = {
    "image": (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp"),
    "audio": (".wav", ".flac", ".mp3", ".ogg"),
    "video": (".mp4", ".webm", ".mkv", ".avi", ".mov"),
}
_PARTS = {"train": 0, "training": 0, "valid": 1, "validation": 1, "dev": 1, "test": 2}


def guess_items(
    frame: pl.DataFrame, columns: Mapping[str, str] | None, log: pl.DataFrame | None = None
) -> tuple[str, dict[str, str], tuple[str, ...]]:
    """Kinds of the columns of the items' table.

    Args:
        frame: the items' table.
        columns: column -> ``id``, a kind or ``ignore``; what is given is not guessed, and once any content column
            is given no other is guessed.
        log: interactions; an item column that both tables have is preferred as the id.

    Returns:
        The id column, column -> kind, and notes on what was guessed.

    Raises:
        DataError: for an unknown column or kind, or items without a recognisable id.
    """
    given = dict(columns or {})
    for column in given:
        if column not in frame.columns:
            raise DataError("items have no such column", column=column, hint=did_you_mean(column, frame.columns))
    for column, kind in given.items():
        if kind not in (*COLUMN_KINDS, "id", "ignore"):
            raise DataError(f"unknown kind {kind!r}", column=column, hint=did_you_mean(kind, COLUMN_KINDS))
    ids = [column for column, kind in given.items() if kind == "id"]
    item_id = ids[0] if ids else _item_id(frame, log)
    kinds = {column: kind for column, kind in given.items() if kind in COLUMN_KINDS}
    notes = [] if ids else [f"items: id is {item_id!r}"]
    if not kinds:
        kinds = {c: k for c in frame.columns if c != item_id and c not in given and (k := guess_kind(frame[c]))}
        notes += [f"items: {kind} is {', '.join(c for c in kinds if kinds[c] == kind)}" for kind in _order(kinds)]
    return item_id, kinds, tuple(notes)


def guess_interactions(
    frame: pl.DataFrame, roles: Mapping[str, str | Sequence[str]] | None
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Roles of the columns of a log.

    Args:
        frame: the log.
        roles: role -> column; several columns for ``context``. What is given is not guessed.

    Returns:
        Role -> column, with one ``context:<column>`` for each context column, and notes on what was guessed.

    Raises:
        DataError: for an unknown role or column, several columns for another role than ``context``, or a log without a
            recognisable user or item.
    """
    chosen: dict[str, str] = {}
    given = dict(roles or {})
    for role, named in given.items():
        if role not in ROLES:
            raise DataError("unknown role", key=role, hint=did_you_mean(role, ROLES))
        columns = [named] if isinstance(named, str) else list(named)
        if len(columns) != 1 and role != "context":
            raise DataError("a role other than context has exactly one column", key=role)
        for column in columns:
            if column not in frame.columns:
                hint = did_you_mean(column, frame.columns)
                raise DataError("interactions have no such column", column=column, hint=hint)
            chosen[CONTEXT + column.removeprefix(CONTEXT) if role == "context" else role] = column
    explicit = set(chosen)
    lower = {column.lower().partition(":")[0]: column for column in reversed(frame.columns)}
    for role, names in NAMES.items():
        match = next((lower[name] for name in names if name in lower and lower[name] not in chosen.values()), None)
        if role not in chosen and match is not None:
            chosen[role] = match
    for role in ("user", "item"):
        if role not in chosen:
            raise DataError(
                f"cannot tell which column is the {role}",
                hint=f"name it in palate.yaml (interactions: {{{role}: COLUMN}}); columns: {', '.join(frame.columns)}",
            )
    guesses = (f"interactions: {role} is {column!r}" for role, column in chosen.items() if role not in explicit)
    return chosen, tuple(guesses)


def guess_kind(values: pl.Series) -> str | None:
    """The kind of one item column, None for columns without content.

    Args:
        values: the column.
    """
    if values.dtype == pl.Binary:
        return "image"
    if values.dtype.is_nested() or values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return "attributes"
    if values.dtype != pl.String:
        return None
    sample = values.drop_nulls().head(1000).str.strip_chars()
    sample = sample.filter(sample != "")
    if not len(sample):
        return None
    for kind, endings in MEDIA_ENDINGS.items():
        if sample.str.to_lowercase().str.ends_with(endings[0]).any() or all(
            str(value).lower().endswith(endings) for value in sample.head(50)
        ):
            if sample.str.contains("://").any():
                return None
            return kind
    words = sample.str.count_matches(r"\s+").mean() or 0.0
    distinct = sample.n_unique() / len(sample)
    return "text" if float(words) >= 1 and distinct > 0.5 else "attributes"  # type: ignore[arg-type]


def normalise_log(frame: pl.DataFrame, file: str | None = None) -> pl.DataFrame:
    """A log with typed roles: ``time`` as integer seconds, ``part`` as 0, 1 or 2, ``rating`` and others as float.

    Args:
        frame: the log, one column a role.
        file: the file it was read from, for error messages.

    Raises:
        DataError: naming the row of a value that cannot be read.
    """
    out = frame
    if "time" in frame.columns:
        out = out.with_columns(parse_times(frame["time"], file).alias("time"))
    if "part" in frame.columns and frame["part"].dtype == pl.String:
        codes = frame["part"].str.to_lowercase().replace_strict(_PARTS, default=None, return_dtype=pl.Int8)
        reject_rows(codes.is_null(), frame["part"], "part is not train, valid or test", file)
        out = out.with_columns(codes.alias("part"))
    elif "part" in frame.columns:
        reject_rows(~frame["part"].is_in([0, 1, 2]).fill_null(False), frame["part"], "part is not 0, 1 or 2", file)
    for role in ("rating", "weight", "propensity"):
        if role in frame.columns:
            numbers = cast_or_null(frame[role], pl.Float64())
            bad = (numbers.is_null() & frame[role].is_not_null()) | numbers.is_nan() | numbers.is_infinite()
            reject_rows(bad.fill_null(False), frame[role], f"{role} is not a finite number", file)
            out = out.with_columns(numbers.alias(role))
    return out


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
        raise DataError(
            error.message, file=file, row=error.row, column=error.column, key=error.key, hint=error.hint
        ) from error


def _item_id(frame: pl.DataFrame, log: pl.DataFrame | None) -> str:
    lower = {column.lower().partition(":")[0]: column for column in reversed(frame.columns)}
    shared = set(frame.columns) & set(log.columns if log is not None else ())
    for name in ITEM_IDS:
        if name in lower and (not shared or lower[name] in shared):
            return lower[name]
    for name in ITEM_IDS:
        if name in lower:
            return lower[name]
    raise DataError(
        "cannot tell which column is the item id",
        hint=f"name it in palate.yaml (items: {{id: COLUMN}}); columns: {', '.join(frame.columns)}",
    )


def _order(kinds: Mapping[str, str]) -> list[str]:
    return [kind for kind in COLUMN_KINDS if kind in kinds.values()]
