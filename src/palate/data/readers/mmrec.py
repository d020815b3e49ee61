"""The MMRec layout: ``*.inter`` (userID, itemID, x_label), ``*_feat.npy``, and a given k-NN graph ``knn*.npz``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from palate.core.errors import DataError
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.interactions import Interactions, PositiveRule
from palate.data.load import readers
from palate.data.readers.shared.files import first_line
from palate.data.readers.shared.vectors import (
    given_features,
    given_graphs,
    graph_relations,
    write_features,
    write_graphs,
)
from palate.data.splits import SplitSpec
from palate.data.tables import read_table
from palate.data.times import cast_or_null

_NAMES = {"user": "userID", "item": "itemID", "part": "x_label", "time": "pos"}


class MMRecLayout:
    """Item and user ids are the integers of the file; row ``i`` of a feature matrix belongs to item id ``i``."""

    cites = "github.com/enoche/MMRec src/configs/dataset: userID, itemID, x_label (0 train, 1 valid, 2 test)"

    def recognise(self, path: Path) -> float:
        """High if the only ``.inter`` file has the documented header."""
        file = _inter(path)
        header = first_line(file).split("\t") if file is not None else []
        return 0.95 if {"userID", "itemID", "x_label"} <= set(header) else 0.0

    def read(self, path: Path, options: Mapping[str, Any]) -> Dataset:
        """Read interactions, every ``<modality>_feat.npy`` and every graph in ``knn*.npz``.

        Raises:
            DataError: naming the file and row; if a matrix does not fit the items.
        """
        file = _inter(path)
        if file is None:
            raise DataError("no single .inter file", file=path, hint="name the file itself")
        table = read_table(file)
        for role, column in _NAMES.items():
            if column not in table.columns:
                if role != "time":
                    raise DataError("no such column", file=file, column=column)
                continue
            numbers = cast_or_null(table[column], pl.Int64())
            changed = cast_or_null(table[column], pl.Float64()) != numbers.cast(pl.Float64)
            bad = (
                numbers.is_null()
                | changed.fill_null(False)
                | (numbers < 0)
                | (numbers > (2 if role == "part" else 2**62))
            ).arg_true()
            if len(bad):
                raise DataError(
                    f"not a valid whole number: {table[column][int(bad[0])]!r}",
                    file=file,
                    row=int(bad[0]) + 1,
                    column=column,
                )
            table = table.with_columns(numbers.alias(column))
        if not len(table):
            raise DataError("no interactions", file=file)
        table = table.rename({column: role for role, column in _NAMES.items() if column in table.columns})
        folder = path if path.is_dir() else path.parent
        graphs = given_graphs(folder)
        n_items = _size(table, "item", file)
        given = given_features(folder)
        n_items = max([n_items, *map(len, given.values()), *(len(graph[0]) for graph in graphs.values())])
        for name, features in given.items():
            if len(features) != n_items:
                raise DataError(f"{len(features)} feature rows for {n_items} items", file=folder, key=name)
        split = options.get("split") or "given"
        roles = [column for column in table.columns if column in _NAMES]
        return Dataset(
            name=file.stem,
            items=Catalog.from_ids(pl.Series("id", np.arange(n_items)), "item", given),
            users=Catalog.from_ids(pl.Series("id", np.arange(_size(table, "user", file))), "user"),
            interactions=Interactions(table.select(roles), str(file)),
            relations=graph_relations(graphs),
            positive=PositiveRule.parse(options.get("positive")),
            spec=SplitSpec.parse(split) if isinstance(split, str) else split,
            layout="mmrec",
        )

    def write(self, data: Dataset, folder: Path) -> None:
        """Write positives with their part; ids that are not row numbers go to ``[ui]_id_mapping.csv``."""
        positives = data.positives
        part = positives.part if positives.part is not None else data.split.part
        columns = {"userID": positives.users, "itemID": positives.items, "x_label": part.astype(np.int64)}
        if positives.times is not None:
            columns["pos"] = positives.times
        table = pl.DataFrame(columns).filter(pl.col("x_label") >= 0)
        table.write_csv(folder / f"{data.name}.inter", separator="\t")
        for catalog, letter in ((data.users, "u"), (data.items, "i")):
            if catalog.ids.ids.to_list() != list(range(len(catalog))):
                kind = {"u": "userID", "i": "itemID"}[letter]
                mapping = pl.DataFrame({"id": catalog.ids.ids, kind: np.arange(len(catalog))})
                mapping.write_csv(folder / f"{letter}_id_mapping.csv", separator="\t")
        write_features(dict(data.items.given), folder)
        write_graphs(data.relations, data.n_items, folder)


def _size(table: pl.DataFrame, role: str, file: Path) -> int:
    """Number of users or items; ids are row numbers here, so a huge id would cost memory for every number below it."""
    at = int(table[role].arg_max() or 0)
    top = int(table[role][at])
    if top > 100 * len(table) + 1_000_000:
        raise DataError(
            f"id {top} in a file of {len(table)} rows",
            file=file,
            row=at + 1,
            column=_NAMES[role],
            hint="ids of this layout count from 0; for other ids use the plain folder",
        )
    return top + 1


def _inter(path: Path) -> Path | None:
    if path.is_file():
        return path if path.suffix == ".inter" else None
    files = sorted(path.glob("*.inter")) if path.is_dir() else []
    return files[0] if len(files) == 1 else None


readers.register("mmrec")(MMRecLayout())
