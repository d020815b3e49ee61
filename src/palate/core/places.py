"""Where Palate keeps what can be made again: the user's cache, never the user's data."""

from __future__ import annotations

import os
from pathlib import Path

CACHE = "PALATE_CACHE"
"""Environment variable: the folder to use instead of the cache that the operating system names."""


def cache_folder() -> Path:
    """The folder of the user's cache; it need not exist."""
    given = os.environ.get(CACHE)
    if given:
        return Path(os.path.abspath(given))
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("palate", appauthor=False))
