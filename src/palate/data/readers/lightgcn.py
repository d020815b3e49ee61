"""Lists of LightGCN and NGCF: ``train.txt`` and ``test.txt`` with ``user item item ...`` a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from palate.core.errors import DataError
from palate.data.dataset import Dataset
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.public import PublicTables, build_public, log_with
from palate.data.readers.shared.text_tables import encoding_of, read_text
from palate.data.source_table import SourceTable, typed_table

PARTS = {"train": 0, "valid": 1, "test": 2}
_LIST = re.compile(r"\S+( \S+)*\s*")
_LISTED = ("org_id", "remap_id")


class LightGCNLayout:
    """Pairs without content or time, with a given split; a user with an empty line is a user without interactions.

    ``item_list.txt`` and ``user_list.txt``, where they are, add ids that no line has; the items' ids of the source
    (``org_id``) are carried and not encoded.
    """

    cites = "github.com/kuandeng/LightGCN Data/gowalla: train.txt, test.txt (user item item ...), item_list.txt, user_list.txt (org_id remap_id)"  # noqa: E501

    def recognise(self, path: Path) -> float:
        """High for two such files whose first lines hold ids between single spaces."""
        lines = [first_line(path / name, 1 << 20) for name in ("train.txt", "test.txt")]
        lists = all(_LIST.fullmatch(line) and len(line.split()) > 0 and _is_ids(line) for line in lines)
        return 0.9 if lists and any(len(line.split()) > 1 for line in lines) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read the pairs of all parts.

        Raises:
            DataError: naming the file and line.
        """
        files = {part: path / f"{part}.txt" for part in PARTS if (path / f"{part}.txt").is_file()}
        lines = pl.concat([_lines(file).with_columns(part=pl.lit(part)) for part, file in files.items()])
        log = lines.explode("item").filter(pl.col("item").is_not_null()).select("user", "item", "part")
        if not len(log):
            raise DataError("no line has an item", file=files["train"])
        goods, people = path / "item_list.txt", path / "user_list.txt"
        items, users = _ids(log["item"], goods), _ids(lines["user"], people)
        tables = PublicTables(
            typed_table(log, (), True),
            {"user": "user", "item": "item", "part": "part"},
            {
                "interactions": files["train"],
                "items": goods if goods.is_file() else files["train"],
                "users": files["train"],
            },
            items,
            {"id": "id"} | ({"org_id": "ignore"} if "org_id" in items.frame.columns else {}),
            typed_table(users.frame.select(user=users.spelled("id").cast(pl.String)), (), True),
            [*files.values(), *(file for file in (goods, people) if file.is_file())],
            [] if "valid" in files else ["interactions: no valid.txt, so that nothing can be chosen on validation"],
        )
        return build_public(tables, path, "lightgcn", options, "given")

    def write(self, data: Dataset, folder: Path) -> None:
        """Write one line a user in each part; the order of a user's items is that of the log.

        Raises:
            DataError: if the interactions have no parts, or an id holds white space.
        """
        log = log_with(data, "part").select(pl.col("user", "item").cast(pl.String), "part")
        for ids, name in ((data.users.ids.ids, "user"), (data.items.ids.ids, "item")):
            bad = ids.cast(pl.String).str.contains(r"\s").arg_true()
            if len(bad):
                raise DataError(
                    "an id holds white space", key=str(ids[int(bad[0])]), column=name, hint="use layout folder"
                )
        everybody = data.users.ids.ids.cast(pl.String).to_list()
        for part, code in PARTS.items():
            rows = log.filter(pl.col("part") == code)
            lists = {user: items for user, items in rows.group_by("user", maintain_order=True).agg("item").iter_rows()}
            if part == "valid" and not lists:
                continue
            shown = everybody if part == "train" else [user for user in everybody if user in lists]
            text = "".join(" ".join([user, *lists.get(user, [])]) + "\n" for user in shown)
            (folder / f"{part}.txt").write_text(text, encoding="utf-8")
        listed = {"item_list.txt": data.items, "user_list.txt": data.users}
        for name, catalog in listed.items():
            ids = catalog.ids.ids.cast(pl.String)
            known = "org_id" in catalog.frame.columns
            origin = catalog.frame["org_id"].cast(pl.String).fill_null(ids) if known else ids
            pairs = [" ".join(row) for row in zip(origin.to_list(), ids.to_list())]
            (folder / name).write_text("\n".join([" ".join(_LISTED), *pairs, ""]), encoding="utf-8")


def _is_ids(line: str) -> bool:
    """Whether a line looks like ids rather than words: half of its entries or more hold a digit."""
    entries = line.split()
    return 2 * sum(any(sign.isdigit() for sign in entry) for entry in entries) >= len(entries)


def _lines(file: Path) -> pl.DataFrame:
    """One row a line: user, and the list of items or null."""
    text = file.read_text(encoding=encoding_of(file))
    frame = pl.DataFrame({"line": text.removeprefix("\ufeff").splitlines()}, schema={"line": pl.String})
    frame = frame.with_row_index("row", 1).filter(pl.col("line").str.strip_chars() != "")
    odd = frame.filter(pl.col("line").str.contains(r"[\t,;:\x00]"))
    if len(odd):
        raise DataError("not ids between spaces", file=file, row=int(odd["row"][0]), hint="user item item ...")
    if not len(frame):
        raise DataError("the file has no rows", file=file)
    entries = pl.col("line").str.strip_chars().str.replace_all(r"\s+", " ").str.split(" ")
    return frame.select(user=entries.list.first(), item=entries.list.slice(1)).with_columns(
        pl.when(pl.col("item").list.len() > 0).then("item")
    )


def _ids(used: pl.Series, file: Path) -> SourceTable:
    """All ids of a list file, in its order, and then those that only the lines have."""
    used = used.drop_nulls().unique(maintain_order=True)
    if not file.is_file():
        return typed_table(pl.DataFrame({"id": used}), (), True)
    source = read_text(file, " ", quote=False)
    for column in _LISTED:
        if column not in source.frame.columns:
            raise DataError("no such column", file=file, column=column, hint="the header is: org_id remap_id")
    listed = pl.DataFrame({name: source.spelled(name).cast(pl.String) for name in _LISTED})
    rest = used.filter(~used.is_in(listed["remap_id"].implode()))
    ids = pl.concat([listed.rename({"remap_id": "id"}), pl.DataFrame({"id": rest})], how="diagonal")
    return typed_table(ids.select("id", "org_id"), (), True)


readers.register("lightgcn")(LightGCNLayout())
