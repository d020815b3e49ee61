"""Rows of many segments as one result: a map of one file if it holds exactly these rows, else a copy."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from palate.core.content import Features
from palate.features.segment import Segment

Place = tuple[int, int] | None
IntArray = NDArray[np.int64]


def assemble(
    segments: Sequence[Segment],
    places: Sequence[Place],
    blank: Features,
    ram: int,
    folder: Path | None,
) -> Features:
    """Features of rows of segments.

    Args:
        segments: of one encoder.
        places: (number of the segment, row) of each row of the result; None where it is absent.
        blank: kind, dtype, width and identity of the result.
        ram: bytes above which the values are kept in an unnamed temporary file in ``folder`` instead of memory.
        folder: None keeps them in memory.
    """
    where = np.array([place or (-1, 0) for place in places], dtype=np.int64).reshape(-1, 2)
    present = where[:, 0] >= 0
    for number in np.unique(where[present, 0]):
        absent = np.fromiter(segments[number].absent, np.int64)
        present &= ~((where[:, 0] == number) & np.isin(where[:, 1], absent))
    sizes = _sizes(segments, where, present) if blank.kind == "tokens" else None
    values = _one_segment(segments, where)
    if values is None:
        used = where[present, 0]
        tail = segments[used[0]].values.shape[1:] if len(used) else blank.values.shape[1:]
        shape = (len(where) if sizes is None else int(sizes.sum()), *tail)
        values = _zeros(shape, blank.values.dtype, ram, folder)
        _copy(values, segments, where, present, sizes)
    return Features(values, present, blank.kind, sizes, blank.identity, blank.fitted_on)


def _sizes(segments: Sequence[Segment], where: IntArray, present: NDArray[np.bool_]) -> IntArray:
    sizes = np.zeros(len(where), np.int64)
    for number in np.unique(where[present, 0]):
        rows = np.flatnonzero((where[:, 0] == number) & present)
        sizes[rows] = _lengths(segments[number])[where[rows, 1]]
    return sizes


def _lengths(segment: Segment) -> IntArray:
    return segment.lengths if segment.lengths is not None else np.ones(len(segment.keys), np.int64)


def _one_segment(segments: Sequence[Segment], where: IntArray) -> NDArray | None:
    """The values of a segment that holds exactly these rows in this order."""
    if not len(where) or where[0, 0] < 0:
        return None
    segment = segments[where[0, 0]]
    same = len(segment.keys) == len(where) and bool((where[:, 0] == where[0, 0]).all())
    return segment.values if same and bool((where[:, 1] == np.arange(len(where))).all()) else None


def _zeros(shape: tuple[int, ...], dtype: np.dtype, ram: int, folder: Path | None) -> NDArray:
    size = int(np.prod(shape)) * dtype.itemsize
    if folder is None or size <= ram:
        return np.zeros(shape, dtype)
    # unnamed, so that it ends with the process, even a killed one, and can never be taken for a segment
    with tempfile.TemporaryFile(dir=folder) as handle:
        return np.memmap(handle, dtype, "w+", shape=shape)


def _copy(
    values: NDArray, segments: Sequence[Segment], where: IntArray, present: NDArray[np.bool_], sizes: IntArray | None
) -> None:
    offsets = None if sizes is None else np.concatenate([[0], np.cumsum(sizes)])
    order = np.flatnonzero(present)
    if not len(order):
        return
    order = order[np.argsort(where[order, 0], kind="stable")]
    numbers, firsts = np.unique(where[order, 0], return_index=True)
    for number, rows in zip(numbers, np.split(order, firsts[1:]), strict=True):
        segment, inside = segments[number], where[rows, 1]
        if sizes is None or offsets is None:
            values[rows] = segment.values[inside]
        else:
            starts = np.concatenate([[0], np.cumsum(_lengths(segment))])[inside]
            values[_spans(offsets[rows], sizes[rows])] = segment.values[_spans(starts, sizes[rows])]


def _spans(starts: IntArray, lengths: IntArray) -> IntArray:
    """Concatenated ranges ``start .. start + length``."""
    ends = np.cumsum(lengths)
    spans: IntArray = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
    return spans
