"""Schema: the fields of users, items and context as numbers, with vocabularies fitted on the training part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import ConfigError, DataError, did_you_mean
from palate.data.catalog import Catalog
from palate.data.events import Events
from palate.data.hashing import hash_buckets
from palate.data.views import TrainView

Owner = Literal["user", "item", "context"]
FieldKind = Literal["categorical", "multivalued", "numeric", "sequence"]
FIELD_KINDS: tuple[FieldKind, ...] = ("categorical", "multivalued", "numeric", "sequence")
PADDING, OUT_OF_VOCABULARY, FIRST = 0, 1, 2
SEPARATORS = r"[,|;]"
_MIN_DISTINCT = 12
Encoded = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class SchemaField:
    """One field of a click model.

    Ids of categorical, multi-valued and sequence fields: 0 is padding (no value), 1 is a value outside the vocabulary,
    2 and more are the values.

    Attributes:
        name: ``user``, ``item``, ``history``, or ``<owner>.<column>``.
        owner: what the column describes: ``user``, ``item`` or ``context``.
        column: the column of its table; empty for the ids themselves.
        kind: one of ``FIELD_KINDS``.
        vocabulary: values in the order of their ids; empty for hashed and numeric fields.
        buckets: number of hash buckets, None where a vocabulary is used.
        width: how many values of a multi-valued field are kept.
        mean: of a numeric field over training events.
        scale: standard deviation of a numeric field over training events.
        values: the field whose ids a sequence holds.
    """

    name: str
    owner: Owner
    column: str
    kind: FieldKind
    vocabulary: tuple[str, ...] = ()
    buckets: int | None = None
    width: int = 1
    mean: float = 0.0
    scale: float = 1.0
    values: str = ""

    @property
    def size(self) -> int:
        """Number of ids, padding and the out-of-vocabulary id included; 0 for numeric fields."""
        if self.kind == "numeric":
            return 0
        return FIRST + (len(self.vocabulary) if self.buckets is None else self.buckets)

    def ids(self, values: pl.Series) -> IntArray:
        """int64 [n] ids of text values; nulls are padding.

        Args:
            values: text.
        """
        out = np.zeros(len(values), np.int64)
        present = values.is_not_null().to_numpy()
        text = values.drop_nulls()
        if self.buckets is not None:
            out[present] = FIRST + hash_buckets(text, self.buckets)
            return out
        ids = np.arange(FIRST, FIRST + len(self.vocabulary), dtype=np.int64)
        table = pl.DataFrame({"value": pl.Series(self.vocabulary, dtype=pl.String), "id": ids})
        joined = pl.DataFrame({"value": text}).join(table, on="value", how="left", maintain_order="left")
        out[present] = joined["id"].fill_null(OUT_OF_VOCABULARY).to_numpy()
        return out


@dataclass(frozen=True)
class Schema:
    """The fields of users, items and context, fitted on a view.

    Attributes:
        fields: all fields by name, in a fixed order.
    """

    fields: Mapping[str, SchemaField] = field(default_factory=dict)

    def __iter__(self) -> Iterator[SchemaField]:
        return iter(self.fields.values())

    def __getitem__(self, name: str) -> SchemaField:
        if name not in self.fields:
            raise ConfigError("unknown field", key=name, hint=did_you_mean(name, self.fields))
        return self.fields[name]

    @classmethod
    def fit(
        cls,
        view: TrainView,
        *,
        min_count: int = 1,
        buckets: Mapping[str, int] | None = None,
        kinds: Mapping[str, FieldKind] | None = None,
        only: Sequence[str] | None = None,
        width: int = 16,
    ) -> Schema:
        """Fields of every column that carries content, and of the ids, from training events alone.

        A column of type float is numeric; of whole numbers, numeric if it has more than 12 distinct values; a list, or
        text in which values are separated by comma, semicolon or bar, is multi-valued; anything else is categorical.
        Columns of kind text, image, audio and video are content, not fields.

        Args:
            view: the training view; values are counted once for each of its events.
            min_count: values that occur in fewer training events are out of vocabulary.
            buckets: field name -> number of hash buckets instead of a vocabulary.
            kinds: field name -> kind, where the guess is wrong.
            only: names of the fields wanted; all by default.
            width: how many values of a multi-valued field are kept at most.

        Returns:
            The fitted schema.

        Raises:
            ConfigError: for an unknown field or kind, a number of buckets below 1, or ``history`` without ``item``.
        """
        buckets, kinds = dict(buckets or {}), dict(kinds or {})
        columns = list(_columns(view))
        _check(["user", "item", *(one.name for one, _, _ in columns[2:]), "history"], buckets, kinds, only)
        fields: dict[str, SchemaField] = {}
        for one, values, weight in columns:
            kind = kinds.get(one.name, one.kind)
            fields[one.name] = _fit(
                replace(one, kind=kind, buckets=buckets.get(one.name)), values, weight, min_count, width
            )
        fields["history"] = replace(fields["item"], name="history", kind="sequence", values="item")
        return cls({name: one for name, one in fields.items() if only is None or name in only})

    def encode_table(self, owner: Owner, table: Catalog) -> Encoded:
        """All rows of a catalogue as numbers, to be indexed by row.

        Args:
            owner: which entities the catalogue holds.
            table: the users or items; columns that it lacks are all padding.

        Returns:
            For each field of ``owner``: int64 [n] ids (categorical), int64 [n, width] ids padded with 0 (multi-valued),
            or float32 [n] standardised numbers, 0 where unknown (numeric).
        """
        out: Encoded = {}
        for one in self:
            if one.owner != owner or one.kind == "sequence":
                continue
            if not one.column:
                out[one.name] = one.ids(table.ids.ids.cast(pl.String))
            elif one.column in table.frame.columns:
                out[one.name] = _encode(one, table.frame[one.column])
            else:
                out[one.name] = _encode(one, pl.Series(one.column, [None] * len(table), dtype=pl.String))
        return out

    def encode_context(self, events: Events) -> Encoded:
        """The context fields of events.

        Args:
            events: training events or questions.

        Returns:
            For each context field an array as in :meth:`encode_table`.
        """
        return {one.name: _encode(one, _context(events, one.column)) for one in self if one.owner == "context"}

    def encode(self, events: Events, users: Catalog, items: Catalog, user_rows: IntArray | None = None) -> Encoded:
        """All fields of events, sequences left out.

        Args:
            events: training events or questions.
            users: the users' table.
            items: the items' table.
            user_rows: int64 [n], rows of users, -1 for unknown ones; those of the events by default.

        Returns:
            Name -> array with one row an event.
        """
        out: Encoded = {}
        for name, values in self.encode_table("user", users).items():
            out[name] = self.at(name, values, events.user if user_rows is None else user_rows)
        for name, values in self.encode_table("item", items).items():
            out[name] = self.at(name, values, events.item)
        return out | self.encode_context(events)

    def at(self, name: str, values: NDArray[Any], rows: IntArray) -> NDArray[Any]:
        """Rows of an encoded table; a row of -1 is out of vocabulary for ids, and empty for other fields.

        Args:
            name: the field.
            values: what :meth:`encode_table` made of it.
            rows: int64 [n].
        """
        out = values[rows]
        out[rows < 0] = OUT_OF_VOCABULARY if not self[name].column else 0
        return out

    def state(self) -> list[dict[str, Any]]:
        """Plain values for a JSON file."""
        return [asdict(one) for one in self]

    @classmethod
    def from_state(cls, state: Sequence[Mapping[str, Any]]) -> Schema:
        """The schema that :meth:`state` describes.

        Args:
            state: what :meth:`state` returned.

        Raises:
            DataError: if the state was not written by :meth:`state`.
        """
        try:
            fields = [SchemaField(**{**one, "vocabulary": tuple(one["vocabulary"])}) for one in state]
        except (KeyError, TypeError) as error:
            raise DataError("not the state of a schema", key=str(error)) from error
        return cls({one.name: one for one in fields})


def _columns(view: TrainView) -> Iterator[tuple[SchemaField, pl.Series, IntArray]]:
    """Each field but the histories, its values, and the number of training events with each of them; ids come first."""
    events = view.events
    owners: tuple[tuple[Owner, Catalog, IntArray], ...] = (
        ("user", view.users_table, np.bincount(events.user, minlength=view.n_users)),
        ("item", view.items_table, np.bincount(events.item, minlength=view.n_items)),
    )
    for owner, table, counts in owners:
        yield SchemaField(owner, owner, "", "categorical"), table.ids.ids.cast(pl.String), counts
    for owner, table, counts in owners:
        for column in table.columns("attributes"):
            values = table.frame[column]
            if _readable(values.dtype):
                yield SchemaField(f"{owner}.{column}", owner, column, _guess(values)), values, counts
    for column in events.context:
        values = _context(events, column)
        one = SchemaField(f"context.{column}", "context", column, _guess(values))
        yield one, values, np.ones(len(events), np.int64)


def _check(
    names: Sequence[str], buckets: Mapping[str, int], kinds: Mapping[str, FieldKind], only: Sequence[str] | None
) -> None:
    for name in (*buckets, *kinds, *(only or ())):
        if name not in names:
            raise ConfigError("unknown field", key=name, hint=did_you_mean(name, names))
    for name, kind in kinds.items():
        if kind not in FIELD_KINDS[:3]:
            raise ConfigError(f"unknown kind {kind!r}", key=name, hint=did_you_mean(kind, FIELD_KINDS[:3]))
    for name, number in buckets.items():
        if number < 1:
            raise ConfigError(f"{number} buckets", key=name, hint="give at least 1")
    if only is not None and "history" in only and "item" not in only:
        raise ConfigError("the field 'history' needs the field 'item'", key="only", hint="add 'item'")


def _readable(dtype: pl.DataType) -> bool:
    inner = getattr(dtype, "inner", dtype) if dtype.is_nested() else dtype
    return not (inner.is_nested() or inner in (pl.Binary, pl.Object))


def _context(events: Events, column: str) -> pl.Series:
    """A context column as it was in the log: numbers, or text."""
    if column not in events.context:
        return pl.Series(column, [None] * len(events), dtype=pl.String)
    values = events.context[column]
    if column not in events.context_values:
        return pl.Series(column, values).fill_nan(None)
    names = pl.Series(events.context_values[column], dtype=pl.String)
    known = pl.Series(values).set(pl.Series(values < 0), None)
    return names.gather(known).alias(column)


def _guess(values: pl.Series) -> FieldKind:
    if values.dtype.is_float():
        return "numeric"
    if values.dtype.is_integer():
        return "numeric" if values.n_unique() > _MIN_DISTINCT else "categorical"
    if values.dtype.is_nested():
        return "multivalued"
    separated = values.dtype == pl.String and bool(values.str.contains(SEPARATORS).any())
    return "multivalued" if separated else "categorical"


def _lists(values: pl.Series) -> pl.Series:
    """Lists of trimmed, non-empty texts."""
    if values.dtype.is_nested():
        lists = values.cast(pl.List(pl.String))
    else:
        lists = values.cast(pl.String).str.replace_all(SEPARATORS, "\0").str.split("\0")
    element = pl.element().str.strip_chars()
    return lists.list.eval(element.filter(element.is_not_null() & (element != "")))


def _texts(values: pl.Series) -> pl.Series:
    """Single values as trimmed text, null where empty."""
    if values.dtype.is_nested():
        return _lists(values).list.join("|").replace("", None)
    if values.dtype.is_float():
        integral = (values.floor() == values).fill_null(True).all()
        values = values.cast(pl.Int64, strict=False) if integral else values
    return values.cast(pl.String).str.strip_chars().replace("", None)


def _fit(one: SchemaField, values: pl.Series, weight: IntArray, min_count: int, width: int) -> SchemaField:
    if one.kind == "numeric":
        numbers = values.cast(pl.Float64, strict=False).to_numpy()
        known = np.isfinite(numbers) & (weight > 0)
        if not known.any():
            return one
        total = weight[known].sum()
        mean = float((numbers[known] * weight[known]).sum() / total)
        variance = float((weight[known] * (numbers[known] - mean) ** 2).sum() / total)
        return replace(one, mean=mean, scale=variance**0.5 or 1.0)
    table = pl.DataFrame({"value": _texts(values), "weight": weight})
    if one.kind == "multivalued":
        lists = _lists(values)
        seen = pl.Series(weight) > 0
        longest = int(lists.filter(seen).list.len().max() or 1)  # type: ignore[arg-type]
        one = replace(one, width=max(1, min(width, longest)))
        table = pl.DataFrame({"value": lists, "weight": weight}).explode("value")
    if one.buckets is not None:
        return one
    return replace(one, vocabulary=_vocabulary(table, min_count))


def _vocabulary(table: pl.DataFrame, min_count: int) -> tuple[str, ...]:
    counts = table.drop_nulls("value").group_by("value").agg(pl.col("weight").sum())
    return tuple(counts.filter(pl.col("weight") >= max(min_count, 1))["value"].sort().to_list())


def _encode(one: SchemaField, values: pl.Series) -> NDArray[Any]:
    if one.kind == "numeric":
        numbers = values.cast(pl.Float64, strict=False).to_numpy()
        with np.errstate(invalid="ignore"):
            scaled = (numbers - one.mean) / one.scale
        return np.where(np.isfinite(scaled), scaled, 0.0).astype(np.float32)
    if one.kind == "categorical":
        return one.ids(_texts(values))
    lists = _lists(values).list.head(one.width)
    lengths = lists.list.len().fill_null(0).to_numpy().astype(np.int64)
    flat = one.ids(lists.drop_nulls().explode().drop_nulls() if lengths.any() else pl.Series([], dtype=pl.String))
    out = np.zeros((len(values), one.width), np.int64)
    out[np.arange(one.width) < lengths[:, None]] = flat
    return out
