"""A palate.yaml of all guesses, with comments, for the user to correct."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from palate.core.errors import DataError
from palate.core.files import write_text
from palate.data.catalog import COLUMN_KINDS
from palate.data.column_kinds import guess_column
from palate.data.columns import ItemGuess, guess_interactions, guess_items, type_log, unused_columns
from palate.data.feedback import default_rule, feedback_issues
from palate.data.folder_guess import (
    folder_columns,
    guess_by_values,
    guess_encoding,
    guess_tables,
    likely_tables,
    no_table_hint,
    read_guessed,
)
from palate.data.issues import DataIssue
from palate.data.item_columns import FORMS, read_item_columns
from palate.data.items_of_log import items_of_log
from palate.data.key_columns import find_key
from palate.data.load import recognise
from palate.data.source_table import SourceTable, stack
from palate.data.tables import find_table
from palate.data.unused_feedback import unused_feedback

SETTINGS = "palate.yaml"
_HEAD = """\
# What palate takes the tables and columns for. Correct what is wrong; what is left out is guessed.
# Write null for a role or kind that no column has, such as part: null.
"""


def write_settings(data: str | Path, overwrite: bool = False) -> Path:
    """Write a palate.yaml of all guesses into a folder.

    Args:
        data: folder of tables.
        overwrite: replace a palate.yaml that is there.

    Returns:
        The file.

    Raises:
        DataError: without a folder of tables, over a palate.yaml that is there, or for a layout that needs none.
    """
    folder = Path(data)
    file = folder / SETTINGS
    if not folder.is_dir():
        raise DataError("no such folder", file=folder)
    if file.is_dir():
        raise DataError("is a folder, not a file of settings", file=file)
    if file.exists() and not overwrite:
        raise DataError("there is a palate.yaml already", file=file, hint="--overwrite replaces it")
    layout = recognise(folder)
    if layout not in (None, "folder"):
        raise DataError(f"the layout {layout} reads this folder without a palate.yaml", file=folder)
    write_text(file, propose_settings(folder))
    return file


def propose_settings(folder: Path) -> str:
    """The text of a palate.yaml for a folder of tables.

    Args:
        folder: the folder.

    Raises:
        DataError: if the folder has no table.
    """
    tables = folder_columns(folder)
    if not tables:
        raise DataError("no table with names of columns in the folder", file=folder, hint=no_table_hint(folder))
    named = {name: [found] for name in ("items", "interactions", "users") if (found := find_table(folder, name))}
    chosen = guess_tables(tables) | named
    lines = [_HEAD, "# Tables of the folder:"]
    lines += [f"#   {path.name}: {', '.join(columns)}" for path, columns in tables.items()]
    if any(guess_encoding(path) for path in tables):
        lines += ["#", "# Where an encoding is named, the file is not UTF-8: look at the accents that check shows."]
    lines += ["", f"name: {_inline(folder.resolve().name)}"]
    if "items" not in chosen or "interactions" not in chosen:
        return "\n".join([*lines, *_by_values(tables)]) + "\n"
    read = {name: _read(files) for name, files in chosen.items()}
    if chosen["items"] == chosen["interactions"]:
        read["items"] = items_of_log(read["items"], {})[0]
    lines += _settings({name: source.frame for name, source in read.items()}, chosen)
    return "\n".join(lines) + "\n"


def _by_values(tables: dict[Path, list[str]]) -> list[str]:
    """Settings of tables whose column names say nothing: by a column that two of them share, else to be filled in."""
    guess = guess_by_values(tables)
    if guess is None:
        items, log = likely_tables(tables)
        return [
            "",
            "# Which table holds the items and which the interactions could not be told for certain: name them.",
            f"items: {{{_file(items)}}}  # id: COLUMN, text: [...], image: ...",
            f"interactions: {{{_file(log)}}}  # user: COLUMN, item: COLUMN, time: ...",
        ]
    user = _inline(guess.user) if guess.user else "COLUMN"
    time = next((f"time: {_inline(column)}" for column in guess.times), None)
    end = "}  # time: ..." if time is None else f", {time}}}"
    return [
        "",
        f"# Told by the values of {guess.item}, which both tables hold: check which column is the user.",
        f"items: {{{_file(guess.items)}, id: {_inline(guess.item)}}}  # text: [...], image: ...",
        f"interactions: {{{_file(guess.log)}, item: {_inline(guess.item)}, user: {user}{end}",
    ]


def _read(paths: Sequence[Path]) -> SourceTable:
    sources = [read_guessed(path) for path in paths]
    return sources[0] if len(sources) == 1 else stack(sources)


def _settings(tables: Mapping[str, pl.DataFrame], files: Mapping[str, Sequence[Path]]) -> list[str]:
    items, log, users = tables["items"], tables["interactions"], tables.get("users")
    lines = ["", "items:", *_file_lines(files["items"])]
    try:
        guess = guess_items(items, None, log)
    except DataError:
        kinds = {column: guess_column(items[column]) for column in items.columns}
        guess = ItemGuess("COLUMN", kinds, ())
        lines.append("  # No column looks like the id: put its name for COLUMN.")
    lines.append(f"  id: {_inline(guess.item_id)}")
    content = read_item_columns(items, guess.columns)
    key = None if users is None else find_key(users, log, "user")
    keys = {"item": guess.log_item, "user": None if key is None else key[1]}
    by_form: dict[str, list[str]] = {}
    for column, one in guess.columns.items():
        form = one.form if one.form in FORMS and one.kind == "attributes" else one.kind or "ignore"
        by_form.setdefault(form, []).append(column)
    lines += [f"  {form}: {_inline(by_form[form])}" for form in (*COLUMN_KINDS, *FORMS, "ignore") if form in by_form]
    lines += _comments(content.issues)
    lines += ["", "interactions:", *_file_lines(files["interactions"])]
    roles, unknown = _roles(log, keys)
    lines += [f"  # No column looks like the {role}: put its name for COLUMN." for role in unknown]
    lines += [f"  {role}: COLUMN" for role in unknown]
    lines += [f"  {role}: {_inline(column)}" for role, column in roles.items()]
    try:
        typed, issues = type_log(log, roles, str(files["interactions"][0]))
    except DataError as error:
        typed, issues = [], [DataIssue.from_error(error)]
    issues += unused_columns(log, roles)
    issues += unused_feedback(log, roles)
    lines += _comments(issues)
    if users is not None:
        lines += ["", f"users: {{{_file(files['users'][0])}}}"]
    table = log.with_columns(typed).select(
        pl.col(column).alias(role) for role, column in roles.items() if role != "clock"
    )
    rule = default_rule(table)
    lines += ["", "# Which events count as positives: {} for every event, or {rating: '>=4'}, {event: [buy, cart]}."]
    written = f"positive: {_inline(rule.model_dump(exclude_none=True, mode='json'))}"
    lines += [f"# {written}" if rule.accepts_all else written]
    lines += _comments(feedback_issues(table, rule, roles, True))
    lines += ["", "# Also: given, temporal, leave_one_out, item_cold, user_cold.", "split: random"]
    if "part" in roles:
        lines[-1] = "split: given"
    return lines


def _roles(log: pl.DataFrame, keys: Mapping[str, str | None]) -> tuple[dict[str, str], list[str]]:
    """Roles of a log, and those of ``user`` and ``item`` that no column seems to have."""
    for missing in ((), ("user",), ("item",), ("user", "item")):
        # a column stands in for a role that is missing, so that the others can be told
        given = {role: f"\0{role}" for role in missing}
        added = [pl.Series(name, range(len(log))) for name in given.values()]
        try:
            found, _ = guess_interactions(log.with_columns(added), given, keys)
        except DataError:
            continue
        return {role: column for role, column in found.items() if role not in missing}, list(missing)
    return {}, ["user", "item"]


def _file_parts(paths: Sequence[Path]) -> list[str]:
    """The names of the files of a table, and their encoding where it is to be named."""
    names = [path.name for path in paths]
    encoding = next(filter(None, map(guess_encoding, paths)), None)
    listed = f"file: {_inline(names[0] if len(names) == 1 else names)}"
    return [listed, *([] if encoding is None else [f"encoding: {encoding}"])]


def _file(path: Path | None) -> str:
    return "file: FILE" if path is None else ", ".join(_file_parts([path]))


def _file_lines(paths: Sequence[Path]) -> list[str]:
    return [f"  {part}" for part in _file_parts(paths)]


def _comments(issues: Iterable[DataIssue]) -> list[str]:
    return [f"  # {i.column or ''}: {i.message}{f' ({i.hint})' if i.hint else ''}".replace("\n", " ") for i in issues]


def _inline(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).strip()
    return text.removesuffix("...").strip()
