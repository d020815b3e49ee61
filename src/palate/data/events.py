"""Events: all interactions as aligned columns of labels, times, impressions and context, as ranking needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.batch import IntArray
from palate.core.errors import DataError
from palate.data.interactions import CONTEXT, Interactions, PositiveRule
from palate.data.splits import UNKNOWN_TIME
from palate.data.times import cast_or_null

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
UNKNOWN = -1
_COLUMNS = ("time", "event", "position", "impression", "rating", "weight", "propensity")


@dataclass(frozen=True, eq=False)
class Events:
    """A columnar table of interactions; all arrays are aligned, those of columns that the log lacks are None.

    Attributes:
        user: int64 [n], rows of the users' catalogue.
        item: int64 [n], rows of the items' catalogue.
        label: float32 [n], 1 where the event counts as a positive, else 0; the log's own ``label`` column where the
            rule for positives accepts every event.
        time: int64 [n] seconds, ``UNKNOWN_TIME`` where the log has no value.
        event: int64 [n], codes into ``event_names``, -1 where unknown.
        position: int64 [n], the place in which the item was shown, -1 where unknown.
        impression: int64 [n], a code for each impression (items shown together), -1 for events without one.
        rating: float32 [n], NaN where unknown.
        weight: float32 [n], 1 where unknown.
        propensity: float32 [n], the probability with which the item was shown, NaN where unknown.
        context: column name -> float32 [n] (NaN unknown) or int64 [n] codes into ``context_values`` (-1 unknown).
        event_names: names of event types, sorted.
        context_values: column name -> the values of a coded context column, sorted.

    Raises:
        DataError: if a column has another length.
    """

    user: IntArray
    item: IntArray
    label: FloatArray
    time: IntArray | None = None
    event: IntArray | None = None
    position: IntArray | None = None
    impression: IntArray | None = None
    rating: FloatArray | None = None
    weight: FloatArray | None = None
    propensity: FloatArray | None = None
    context: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    event_names: tuple[str, ...] = ()
    context_values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        columns = {name: getattr(self, name) for name in ("item", "label", *_COLUMNS)} | dict(self.context)
        for name, values in columns.items():
            if values is not None and len(values) != len(self.user):
                raise DataError(f"{len(values)} values for {len(self.user)} events", column=name)

    def __len__(self) -> int:
        return len(self.user)

    @property
    def shown(self) -> BoolArray:
        """bool [n]: events of an impression; all events if the log knows no impression.

        A log with impressions may hold other events too, such as clicks of unknown circumstances: these belong to
        histories, but do not show which other items the user could have taken.
        """
        if self.impression is None or not (self.impression >= 0).any():
            return np.ones(len(self), bool)
        return self.impression >= 0

    def take(self, rows: IntArray | BoolArray) -> Events:
        """The events of ``rows`` (row numbers or a mask), in that order.

        Args:
            rows: int64 row numbers, or bool [n].
        """
        optional: dict[str, Any] = {name: None if (v := getattr(self, name)) is None else v[rows] for name in _COLUMNS}
        context = {name: values[rows] for name, values in self.context.items()}
        required: dict[str, Any] = {name: getattr(self, name)[rows] for name in ("user", "item", "label")}
        return replace(self, context=context, **required, **optional)

    @classmethod
    def build(cls, log: Interactions, rule: PositiveRule) -> Events:
        """All interactions in time order (file order where the log has no time), none of them left out.

        Args:
            log: the interactions.
            rule: what counts as a positive.

        Raises:
            DataError: if the rule needs a column that the log lacks, or a context column is neither numeric nor text.
        """
        frame = log.in_time_order()
        columns: dict[str, Any] = {}
        names: tuple[str, ...] = ()
        if "event" in frame.columns:
            columns["event"], names = codes(frame["event"].cast(pl.String))
        if "impression" in frame.columns:
            columns["impression"] = _impressions(frame)
        if "position" in frame.columns:
            columns["position"] = _numbers(frame["position"], pl.Int64(), UNKNOWN, log.file)
        if "time" in frame.columns:
            columns["time"] = frame["time"].cast(pl.Int64).fill_null(UNKNOWN_TIME).to_numpy()
        for name, default in (("rating", None), ("weight", 1.0), ("propensity", None)):
            if name in frame.columns:
                columns[name] = _numbers(frame[name], pl.Float32(), default, log.file)
        context, values = {}, {}
        for column in log.context:
            context[column], vocabulary = _context(frame[CONTEXT + column], log.file)
            if vocabulary is not None:
                values[column] = vocabulary
        return cls(
            frame["user"].to_numpy().astype(np.int64, copy=False),
            frame["item"].to_numpy().astype(np.int64, copy=False),
            _labels(frame, rule, log.file),
            context=context,
            event_names=names,
            context_values=values,
            **columns,
        )


def codes(values: pl.Series, distinct: pl.Series | None = None) -> tuple[IntArray, tuple[str, ...]]:
    """Codes of values among distinct ones.

    Args:
        values: text, whole numbers or booleans.
        distinct: the values that have a code, in the order of their codes; by default those that occur, sorted.

    Returns:
        int64 codes, -1 for nulls and values that have none; and the distinct values as text.
    """
    distinct = values.drop_nulls().unique().sort() if distinct is None else distinct
    table = pl.DataFrame({"value": distinct, "code": np.arange(len(distinct), dtype=np.int64)})
    joined = pl.DataFrame({"value": values}).join(table, on="value", how="left", maintain_order="left")
    return joined["code"].fill_null(UNKNOWN).to_numpy(), tuple(distinct.cast(pl.String).to_list())


def _labels(frame: pl.DataFrame, rule: PositiveRule, file: str | None) -> FloatArray:
    if rule.accepts_all and "label" in frame.columns:
        return _numbers(frame["label"], pl.Float32(), 0.0, file)
    return rule.mask(frame).to_numpy().astype(np.float32)


def _impressions(frame: pl.DataFrame) -> IntArray:
    """Codes of (user, impression), so that ids counted for each user on their own stay apart."""
    ids, distinct = codes(frame["impression"])
    keys = np.where(ids < 0, UNKNOWN, frame["user"].to_numpy() * len(distinct) + ids)
    distinct_keys, inverse = np.unique(keys, return_inverse=True)
    return inverse.astype(np.int64) - int(len(distinct_keys) > 0 and distinct_keys[0] == UNKNOWN)


def _numbers(values: pl.Series, dtype: pl.DataType, default: float | None, file: str | None) -> NDArray[Any]:
    """The column as numbers, ``default`` where empty."""
    numbers = cast_or_null(values, dtype)
    bad = (numbers.is_null() & values.is_not_null()).arg_true()
    if len(bad):
        raise DataError(
            f"not a number: {values[int(bad[0])]!r}",
            file=file,
            column=values.name.removeprefix(CONTEXT),
            hint="correct the value, or give the column another role",
        )
    return (numbers if default is None else numbers.fill_null(default)).to_numpy()


def _context(values: pl.Series, file: str | None) -> tuple[NDArray[Any], tuple[str, ...] | None]:
    if values.dtype.is_nested() or values.dtype in (pl.Binary, pl.Object):
        raise DataError(
            f"a context column cannot be {values.dtype}",
            file=file,
            column=values.name.removeprefix(CONTEXT),
            hint="use numbers or text, or leave the column out of 'context'",
        )
    if values.dtype.is_float():
        return _numbers(values, pl.Float32(), None, file), None
    return codes(values.cast(pl.String) if values.dtype.is_temporal() else values)
