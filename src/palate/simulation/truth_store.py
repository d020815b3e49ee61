"""The folder ``truth/``: written block by block, read back with tastes memory-mapped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from palate.core.errors import ArtefactError
from palate.core.files import read_json, write_json
from palate.simulation.items import BEHAVIOUR, OPTIONAL, Items
from palate.simulation.presets import FORMAT, WorldConfig
from palate.simulation.tastes import PER_USER, Users

ITEM_ARRAYS = (*BEHAVIOUR, "twin", "content")


def read_truth(folder: Path) -> tuple[WorldConfig, Items, Users]:
    """Read settings, items and users of a written world.

    Args:
        folder: the world's, or its ``truth``.

    Raises:
        ArtefactError: a file is missing or damaged, or has a newer format.
    """
    folder = folder if folder.name == "truth" else folder / "truth"
    settings = read_json(_require_file(folder / "config.json"))
    if settings.get("format") != FORMAT:
        raise ArtefactError(f"format {settings.get('format')}, known: {FORMAT}", file=folder / "config.json")
    config = WorldConfig(**settings["config"])
    schema = config.schema_
    with _arrays(folder / "items.npz") as stored:
        shown, present = ({m: stored[f"{prefix}_{m}"] for m in schema.visibility} for prefix in ("shown", "present"))
        arrays = {name: stored[name] for name in (*ITEM_ARRAYS, *OPTIONAL) if name in ITEM_ARRAYS or name in stored}
        items = Items(schema=schema, shown=shown, present=present, **arrays)
    taste = np.load(_require_file(folder / "taste.npy"), mmap_mode="r", allow_pickle=False)
    with _arrays(folder / "users.npz") as stored:
        users = Users(schema, 0, **{n: taste if n == "taste" else stored[n] for n in PER_USER})
    return config, items, users


class TruthWriter:
    """Writer of ``truth/``, block by block.

    Args:
        folder: ``truth/`` itself, which is created.
        config: settings of the world.
        items: all items.
    """

    def __init__(self, folder: Path, config: WorldConfig, items: Items) -> None:
        folder.mkdir()
        self.folder, self.config = folder, config
        write_json(folder / "config.json", {"format": FORMAT, "config": config.stored()})
        arrays: dict[str, Any] = {name: getattr(items, name) for name in ITEM_ARRAYS}
        arrays |= {name: values for name in OPTIONAL if (values := getattr(items, name)) is not None}
        arrays |= {f"shown_{m}": shown for m, shown in items.shown.items()}
        arrays |= {f"present_{m}": present for m, present in items.present.items()}
        np.savez(folder / "items.npz", **arrays)
        items.attributes(items.content).write_parquet(folder / "attributes.parquet")
        shape = (config.n_users, 3, items.schema.width)
        self.taste = np.lib.format.open_memmap(folder / "taste.npy", mode="w+", dtype=np.float16, shape=shape)
        self.rest: dict[str, list[NDArray]] = {name: [] for name in PER_USER if name != "taste"}

    def add(self, users: Users) -> None:
        """Add the next block of users."""
        self.taste[users.first : users.first + len(users)] = users.taste
        for name, parts in self.rest.items():
            parts.append(getattr(users, name))

    def close(self) -> None:
        """Write the users' arrays."""
        self.taste.flush()
        del self.taste
        arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in self.rest.items()}
        np.savez(self.folder / "users.npz", **arrays)


def _require_file(file: Path) -> Path:
    if not file.is_file():
        raise ArtefactError("no such file", file=file, hint="is this a world written by 'palate world'?")
    return file


@contextmanager
def _arrays(file: Path) -> Iterator[Any]:
    try:
        with np.load(_require_file(file), allow_pickle=False) as arrays:
            yield arrays
    except (ValueError, KeyError, OSError) as error:
        raise ArtefactError(f"damaged ({error})", file=file) from error
