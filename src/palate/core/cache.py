"""Where Palate keeps what can be made again: the user's cache, never the user's data."""

from __future__ import annotations

import os
from pathlib import Path

from .files import digest

CACHE = "PALATE_CACHE"
"""Environment variable: the folder to use instead of the cache that the operating system names."""


def cache_folder() -> Path:
    """The folder of the user's cache; it need not exist."""
    if given := os.environ.get(CACHE):
        return Path(os.path.abspath(given))
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("palate", appauthor=False))


def vectors_folder(data: str | Path) -> Path:
    """The folder in the cache for encoded vectors of one data set.

    Args:
        data: folder or file; another place is another data set.
    """
    place = Path(os.path.realpath(data))
    plain = "".join(c if c.isalnum() or c in "-_" else "-" for c in place.stem)[:40]
    return cache_folder() / "vectors" / f"{plain}-{digest(os.fsencode(place))[:16]}"
