"""Rolling hashes of all n-grams of many texts at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Keys = NDArray[np.uint64]
_BASE = np.uint64(0x9E3779B97F4A7C15)


def mix(keys: Keys) -> Keys:
    """SplitMix64 finaliser (Steele et al. 2014): every input bit moves about half of the output bits."""
    keys = keys ^ (keys >> np.uint64(30))
    keys = keys * np.uint64(0xBF58476D1CE4E5B9)
    keys = keys ^ (keys >> np.uint64(27))
    keys = keys * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def windows(codes: NDArray[np.uint32], owners: NDArray[np.int64], n: int) -> tuple[Keys, NDArray[np.int64]]:
    """Hashes of all runs of ``n`` codes inside one owner.

    Args:
        codes: code points of all texts, one after another.
        owners: int64, the text of each code point.
        n: length of the runs.

    Returns:
        Keys uint64 [m], and their owners int64 [m].
    """
    count = len(codes) - n + 1
    if count < 1:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    keys = np.full(count, np.uint64(n), np.uint64)
    for offset in range(n):
        keys = keys * _BASE + mix(codes[offset : offset + count].astype(np.uint64) + np.uint64(1))
    inside = owners[:count] == owners[n - 1 :]
    return mix(keys[inside]), owners[:count][inside]


def runs(codes: NDArray[np.uint32], owners: NDArray[np.int64], blank: int) -> tuple[Keys, NDArray[np.int64]]:
    """Hashes of words.

    Args:
        codes: code points of all texts, one after another.
        owners: int64, the text of each code point.
        blank: code point between words.

    Returns:
        Keys uint64 [m] in the order of the words, and their owners int64 [m].
    """
    inside = codes != blank
    if not inside.any():
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    first = inside & np.concatenate([[True], ~inside[:-1] | (owners[1:] != owners[:-1])])
    starts = np.flatnonzero(first)
    word = np.cumsum(first) - 1
    place = (np.arange(len(codes)) - starts[np.maximum(word, 0)]).astype(np.uint64)
    keyed = np.where(inside, mix(codes.astype(np.uint64) + mix(place + np.uint64(7))), np.uint64(0))
    return mix(np.add.reduceat(keyed, starts)), owners[starts]
