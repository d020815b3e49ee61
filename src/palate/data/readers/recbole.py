"""RecBole atomic files: ``Name.inter``, ``.item``, ``.user``, ``.kg`` and ``.link`` with typed headers, by tabs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.content import Features
from palate.core.errors import DataError, did_you_mean
from palate.core.files import digest
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.recbole_graph import read_triples, write_triples
from palate.data.readers.shared.tab_lines import lines_of
from palate.data.readers.shared.tables import external_log

TYPES = ("token", "token_seq", "float", "float_seq")
PARTS = ("train", "valid", "test")
_TEXT = re.compile(r"title|name|description|abstract|review|text", re.IGNORECASE)
_ROLES = {"user_id": "user", "item_id": "item", "rating": "rating", "timestamp": "time", "label": "label"}


class RecBoleLayout:
    """Tokens stay text (``007`` is not 7). ``Name.train.inter`` and its siblings are a given split.

    A ``token_seq`` column called like a text (title, description ...) is text, any other a list of attributes; a
    ``float_seq`` column of one width is a given feature matrix.
    """

    cites = "recbole.io/docs/user_guide/data/atomic_files.html (RUCAIBox/RecBole docs/source): feat_name:feat_type"

    def recognise(self, path: Path) -> float:
        """High if a ``.inter`` file has a typed header."""
        files = _logs(path)
        header = first_line(next(iter(files.values()))).split("\t") if files else []
        return 0.95 if header and all(name.rpartition(":")[2] in TYPES for name in header) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read the log and, if present, items, users and the knowledge graph.

        Raises:
            DataError: naming the file, row and column.
        """
        files = _logs(path)
        if not files:
            raise DataError("no .inter file", file=path)
        file = next(iter(files.values()))
        stem = file.name.split(".")[0]
        tables = []
        for part, log_file in files.items():
            table = _read(log_file)
            tables.append(table if part is None else table.with_columns(part=pl.lit(PARTS.index(part), pl.Int64)))
        log = pl.concat(tables, how="diagonal")
        roles = {role: column for column, role in _ROLES.items() if column in log.columns}
        for column in ("user_id", "item_id"):
            if column not in log.columns:
                raise DataError("no such column", file=file, column=column, hint=f"columns: {', '.join(log.columns)}")
        roles |= {"part": "part"} if len(files) > 1 else {}
        item_file, user_file = file.with_name(f"{stem}.item"), file.with_name(f"{stem}.user")
        items = _read(item_file) if item_file.is_file() else log.select(pl.col("item_id").unique(maintain_order=True))
        kinds = {column: _kind(column, items[column]) for column in items.columns if column != "item_id"}
        given = _vectors(items, item_file)
        columns = {"item_id": "id"} | {c: k for c, k in kinds.items() if k is not None}
        data = Dataset.from_frames(
            items,
            log,
            _read(user_file) if user_file.is_file() else None,
            columns=columns,
            roles={**roles, **(options.get("roles") or {})},
            positive=options.get("positive"),
            ids=options.get("ids"),
            absent=options.get("absent"),
            split=options.get("split") or ("given" if "part" in roles else "random"),
            features=given,
            name=stem,
            layout="recbole",
            files={"interactions": file, "items": item_file, "users": user_file},
        )
        graph, links = file.with_name(f"{stem}.kg"), file.with_name(f"{stem}.link")
        if not (graph.is_file() and links.is_file()):
            return data
        relations, issues = read_triples(_read(graph), _read(links), data.items.ids, (graph, links))
        return data.with_issues(issues, relations=relations)

    def write(self, data: Dataset, folder: Path) -> None:
        """Write typed columns; a given split becomes three files."""
        table = external_log(data).rename(
            {role: column for column, role in _ROLES.items() if role in data.interactions.frame}
        )
        table = table.drop("row", strict=False)
        if "part" in table.columns:
            for part, name in enumerate(PARTS):
                one = table.filter(pl.col("part") == part).drop("part")
                _write(one, folder / f"{data.name}.{name}.inter", {"user_id", "item_id"})
        else:
            _write(table, folder / f"{data.name}.inter", {"user_id", "item_id"})
        items = _with_id(data.items.frame, data.items.ids.ids, "item_id")
        _write(items, folder / f"{data.name}.item", {"item_id"}, data.items.kinds)
        if len(data.users.frame.columns) > 1 or data.users.ids.ids.dtype != pl.String:
            users = _with_id(data.users.frame, data.users.ids.ids, "user_id")
            _write(users, folder / f"{data.name}.user", {"user_id"})
        write_triples(data, folder / data.name)


def _logs(path: Path) -> dict[str | None, Path]:
    """Part -> file; the part is None for a log in one file."""
    if path.is_file():
        return {None: path} if path.suffix == ".inter" else {}
    files = sorted(path.glob("*.inter"))
    parts: dict[str | None, Path] = {
        part: file for part in PARTS for file in files if file.name.endswith(f".{part}.inter")
    }
    unsplit = [file for file in files if file not in parts.values()]
    return {None: unsplit[0]} if len(unsplit) == 1 else parts if len(parts) == 3 else {}


def _read(file: Path) -> pl.DataFrame:
    names = first_line(file).split("\t")
    types = {}
    for name in names:
        column, colon, kind = name.strip().rpartition(":")
        if not colon or kind not in TYPES:
            hint = did_you_mean(kind, TYPES)
            raise DataError("a column needs a type, such as item_id:token", file=file, column=name, hint=hint)
        if column in types:
            raise DataError("two columns have this name", file=file, column=column)
        types[column] = kind
    frame = lines_of(file, tuple(types), header=True)
    return frame.with_columns(_typed(frame[column], kind, file) for column, kind in types.items())


def _typed(values: pl.Series, kind: str, file: Path) -> pl.Series:
    if kind == "token" or (kind == "token_seq" and _TEXT.search(values.name)):
        return values
    if kind == "token_seq":
        return values.str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    numbers = values.str.split(" ").list.eval(pl.element().cast(pl.Float64, strict=False))
    bad = numbers.list.eval(pl.element().is_null() | pl.element().is_nan()).list.any().fill_null(False).arg_true()
    if len(bad) or (kind == "float" and (numbers.list.len() > 1).any()):
        at = int(bad[0]) if len(bad) else int((numbers.list.len() > 1).arg_true()[0])
        raise DataError(f"not a {kind}: {values[at]!r}", file=file, row=at + 1, column=values.name)
    if kind == "float":
        single = numbers.list.first()
        return single.cast(pl.Int64) if (single.floor() == single).all() and len(single.drop_nulls()) else single
    return numbers


def _kind(column: str, values: pl.Series) -> str | None:
    if values.dtype == pl.List(pl.Float64):
        return None
    return "text" if values.dtype == pl.String and _TEXT.search(column) else "attributes"


def _vectors(items: pl.DataFrame, file: Path) -> dict[str, Features]:
    out = {}
    for column in items.columns:
        if items[column].dtype != pl.List(pl.Float64):
            continue
        widths = items[column].list.len().drop_nulls()
        if not len(widths) or widths.n_unique() != 1:
            raise DataError("vectors of different length", file=file, column=column)
        present = items[column].is_not_null().to_numpy()
        matrix = np.zeros((len(items), int(widths[0])), np.float32)
        matrix[present] = np.array(items[column].drop_nulls().to_list(), np.float32)
        out[column] = Features(matrix, present, identity=f"given:{digest(matrix.tobytes())}")
    return out


def _with_id(frame: pl.DataFrame, ids: pl.Series, name: str) -> pl.DataFrame:
    same = [c for c in frame.columns if frame[c].dtype == ids.dtype and frame[c].equals(ids)]
    return frame.drop(same[:1]).select(ids.alias(name), pl.all())


def _write(frame: pl.DataFrame, file: Path, ids: set[str], kinds: Mapping[str, str] | None = None) -> None:
    names, columns = [], []
    for name in frame.columns:
        values = frame[name]
        if values.dtype.is_nested():
            inner = "float_seq" if values.dtype == pl.List(pl.Float64) else "token_seq"
            joined = values.cast(pl.List(pl.String)).list.eval(pl.element().str.replace_all(r"\s+", "_")).list.join(" ")
            names.append(f"{name}:{inner}")
            columns.append(joined)
            continue
        text = (kinds or {}).get(name) == "text"
        kind = "token_seq" if text else "float" if values.dtype.is_numeric() and name not in ids else "token"
        names.append(f"{name}:{kind}")
        columns.append(values.cast(pl.String).str.replace_all(r"[\t\r\n]", " "))
    with open(file, "w", encoding="utf-8", newline="") as handle:
        handle.write("\t".join(names) + "\n")
        handle.writelines("\t".join(value or "" for value in row) + "\n" for row in pl.DataFrame(columns).iter_rows())


readers.register("recbole")(RecBoleLayout())
