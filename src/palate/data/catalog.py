"""Catalog: a typed table of entities (items, users, queries) and the places of their content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.content import Features, concat, pad_rows
from palate.core.encoder import Raw
from palate.core.errors import DataError, did_you_mean
from palate.core.files import digest
from palate.data.exact import common_number_type, exact_cast
from palate.data.hashing import series_parts
from palate.data.ids import IdMap
from palate.data.media import MediaRoot
from palate.data.new_content import conform

COLUMN_KINDS = ("text", "image", "audio", "video", "attributes")
MEDIA_KINDS = ("image", "audio", "video")


@dataclass(frozen=True, eq=False, repr=False)
class Catalog:
    """A table of entities.

    Attributes:
        frame: one row an entity, in row order.
        ids: external ids.
        kinds: column name -> one of ``COLUMN_KINDS``; columns not named here are carried but not encoded.
        root: folder that relative media paths start from; media outside it are refused.
        given: ready-made vectors by modality, aligned with the rows.
        file: the table it was read from, for error messages.
        decimals: column of numbers that were written as text -> the decimal sign of their spelling, and their unit.

    Raises:
        DataError: if ``ids``, ``kinds`` or ``given`` do not fit the table.
    """

    frame: pl.DataFrame
    ids: IdMap
    kinds: Mapping[str, str] = field(default_factory=dict)
    root: Path | None = None
    given: Mapping[str, Features] = field(default_factory=dict)
    file: str | None = None
    decimals: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.frame) != len(self.ids):
            raise DataError(f"{len(self.frame)} rows but {len(self.ids)} ids")
        for column, kind in self.kinds.items():
            if column not in self.frame.columns:
                raise DataError("no such column", column=column, hint=did_you_mean(column, self.frame.columns))
            if kind not in COLUMN_KINDS:
                raise DataError(f"unknown kind {kind!r}", column=column, hint=did_you_mean(kind, COLUMN_KINDS))
        for name, features in self.given.items():
            if len(features) != len(self.frame):
                raise DataError(
                    f"{len(features)} feature rows for {len(self.frame)} {self.ids.entity}s",
                    key=name,
                    hint="give one feature row for each catalogue row, in the same order",
                )

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"<Catalog of {len(self):,} {self.ids.entity}s: {', '.join(self.frame.columns)}>"

    @classmethod
    def from_ids(cls, ids: pl.Series, entity: str = "item", given: Mapping[str, Features] | None = None) -> Catalog:
        """A catalogue of ids and, if given, vectors.

        Args:
            ids: external ids in row order.
            entity: the noun for error messages.
            given: vectors by modality, aligned with ``ids``.

        Raises:
            DataError: if an id is empty or repeated, or vectors do not fit.
        """
        return cls(pl.DataFrame({"id": ids}), IdMap(ids, entity), given=given or {})

    @property
    def modalities(self) -> tuple[str, ...]:
        """Modalities with a column or given vectors, in a fixed order."""
        present = set(self.kinds.values()) | set(self.given)
        return (*(m for m in COLUMN_KINDS if m in present), *sorted(present - set(COLUMN_KINDS)))

    def columns(self, modality: str) -> list[str]:
        """Columns of one modality, in table order.

        Args:
            modality: one of ``COLUMN_KINDS``.
        """
        return [column for column in self.frame.columns if self.kinds.get(column) == modality]

    def raw(
        self, modality: str, rows: NDArray[np.int64] | None = None, columns: Sequence[str] | None = None
    ) -> list[Raw]:
        """Raw content by row.

        Args:
            modality: one of ``COLUMN_KINDS``.
            rows: int64 row numbers; all rows by default.
            columns: columns to read as ``modality``, whatever their kind; those of ``modality`` by default.

        Returns:
            For each row a text joined over the columns, a path or bytes of a medium, or a mapping of attributes; None
            for an empty text, a null or blank path, or no attribute at all.

        Raises:
            DataError: naming row and column of a media path that leaves ``root`` or is a URL.
        """
        names = list(columns or self.columns(modality))
        if not names:
            # a table without columns has no rows either
            return [None] * (len(self) if rows is None else len(rows))
        frame = self.frame[names]
        if rows is not None:
            frame = frame[np.asarray(rows, dtype=np.int64)]
        if modality == "attributes":
            return [_attributes(record) for record in frame.iter_rows(named=True)]
        if modality in MEDIA_KINDS:
            return self._media(frame, rows)
        return [_joined(values) for values in frame.iter_rows()]

    def present(self, modality: str) -> NDArray[np.bool_]:
        """bool [n]: whether each row has content of this modality; media files are not opened.

        Args:
            modality: one of ``COLUMN_KINDS``, or a modality of ``given``.

        Raises:
            DataError: as :meth:`raw`.
        """
        if modality in self.given:
            return self.given[modality].present
        return np.array([raw is not None for raw in self.raw(modality)], dtype=bool)

    def content_hash(self) -> str:
        """Hash of ids, columns and given vectors; media files by path, size and samples of their bytes."""
        parts: list[bytes | str] = [self.ids.hash, repr(sorted(self.kinds.items()))]
        for column in self.frame.columns:
            parts += series_parts(self.frame[column])
        for modality in MEDIA_KINDS:
            parts += self._fingerprints(modality)
        for name, features in sorted(self.given.items()):
            parts += [f"{name}:{features.identity}", features.present.tobytes()]
            if not features.identity.startswith("given:"):
                parts.append(np.ascontiguousarray(features.values).tobytes())
        return digest(*parts)

    def _fingerprints(self, modality: str) -> list[str]:
        columns = self.columns(modality)
        if self.root is None or not columns:
            return []
        root = MediaRoot(self.root)
        return [root.fingerprint(value) for column in columns for value in self.frame[column].to_list()]

    @property
    def id_column(self) -> str:
        """The column that holds the ids; the first column if none does."""
        frame, ids = self.frame, self.ids.ids
        matches = (name for name in frame.columns if frame[name].equals(ids.cast(frame[name].dtype, strict=False)))
        return next(matches, frame.columns[0])

    def cast_rows(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Rows in the column types of the catalogue.

        Args:
            frame: rows with some or all columns of the catalogue.

        Raises:
            DataError: if a column is unknown, or a value does not fit the type of its column.
        """
        extra = set(frame.columns) - set(self.frame.columns)
        if extra:
            name = sorted(extra)[0]
            hint = did_you_mean(name, self.frame.columns)
            raise DataError("the catalogue has no such column", column=name, hint=hint)
        schema = self.frame.schema
        rows = {c: conform(frame[c], schema[c], self.kinds.get(c), self.decimals.get(c)) for c in frame.columns}
        return frame.with_columns([exact_cast(values.alias(c), schema[c]) for c, values in rows.items()])

    def append(self, frame: pl.DataFrame, id_column: str, features: Mapping[str, Features] | None = None) -> Catalog:
        """A catalogue with more rows; columns that the new rows lack become null.

        A column of whole numbers that gets a fraction becomes one of floats, and an empty one takes the type of the new
        values.

        Args:
            frame: the new rows.
            id_column: the column of ``frame`` that holds their ids.
            features: vectors of the new rows for modalities that have given vectors; absent where left out.

        Raises:
            DataError: if an id is known, empty or repeated, a column is unknown, or values or vectors do not fit.
        """
        ids = self.ids.extended(frame[id_column])
        frame = frame.with_columns(ids.ids.tail(len(frame)).alias(id_column))
        old = self._widened(frame, id_column)
        typed = replace(self, frame=old).cast_rows(frame)
        features = features or {}
        for name, vectors in features.items():
            if name not in self.given:
                hint = did_you_mean(name, self.given) if self.given else "its content is encoded from columns"
                raise DataError("the catalogue was not given vectors of this modality", key=name, hint=hint)
            expected = (len(frame), self.given[name].dim)
            if vectors.values.shape != expected:
                hint = f"give {expected}: one row for each new {self.ids.entity}, as wide as the vectors of the others"
                raise DataError(f"vectors of shape {vectors.values.shape}", key=name, hint=hint)
        given = {
            name: concat(old, replace(features[name], identity=old.identity))
            if name in features
            else pad_rows(old, len(frame))
            for name, old in self.given.items()
        }
        return replace(self, frame=pl.concat([old, typed], how="diagonal"), ids=ids, given=given)

    def _widened(self, new: pl.DataFrame, id_column: str) -> pl.DataFrame:
        """The table in types that hold the values of new rows."""
        shared = [column for column in self.frame.columns if column in new.columns and column != id_column]
        types = {column: common_number_type(self.frame[column], new[column]) for column in shared}
        return self.frame.with_columns(pl.col(c).cast(dtype) for c, dtype in types.items() if dtype is not None)

    def drop_content(self, dropped: Mapping[str, NDArray[np.bool_]]) -> Catalog:
        """A catalogue without some content of some rows.

        Args:
            dropped: modality -> bool [n], the rows that lose their content of it.
        """
        emptied = [
            pl.when(pl.lit(pl.Series(~dropped[kind]))).then(pl.lit(self.frame[column])).alias(column)
            for column, kind in self.kinds.items()
            if kind in dropped
        ]
        given = {
            name: features.mask_rows(~dropped[name]) if name in dropped else features
            for name, features in self.given.items()
        }
        return replace(self, frame=self.frame.with_columns(emptied), given=given)

    def restrict(self, visible: NDArray[np.bool_] | None) -> Catalog:
        """A catalogue in which all rows outside ``visible`` are empty but for their id.

        Args:
            visible: bool [n], or None for a catalogue that shows all rows.
        """
        if visible is None or visible.all():
            return self
        shown = pl.lit(pl.Series(visible))
        ids = self.id_column
        named = self.frame[ids].cast(self.ids.ids.dtype, strict=False).equals(self.ids.ids)
        columns = [column for column in self.frame.columns if column != ids or not named]
        emptied = [pl.when(shown).then(pl.col(column)).alias(column) for column in columns]
        given = {name: features.mask_rows(visible) for name, features in self.given.items()}
        return replace(self, frame=self.frame.with_columns(emptied), given=given)

    def _media(self, frame: pl.DataFrame, rows: NDArray[np.int64] | None) -> list[Raw]:
        resolve = MediaRoot(self.root)
        out: list[Raw] = []
        for at, values in enumerate(frame.iter_rows()):
            raw: Raw = None
            for column, value in zip(frame.columns, values):
                if isinstance(value, bytes) and value:
                    raw = value
                elif isinstance(value, str) and value.strip():
                    try:
                        raw = resolve(value)
                    except DataError as error:
                        row = (at if rows is None else int(rows[at])) + 1
                        raise DataError(
                            error.message, file=self.file, row=row, column=column, key=value[:200], hint=error.hint
                        ) from error
                if raw is not None:
                    break
            out.append(raw)
        return out


def _joined(values: tuple[Any, ...]) -> str | None:
    parts = [", ".join(map(str, v)) if isinstance(v, list) else str(v) for v in values if v is not None]
    text = ". ".join(part.strip() for part in parts if part.strip())
    return text or None


def _attributes(record: dict[str, Any]) -> dict[str, Any] | None:
    values = {name: value for name, value in record.items() if value is not None and value != "" and value != []}
    return values or None
