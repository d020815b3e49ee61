"""Writing a world: the plain folder (tables, media, palate.yaml), its truth, and world.json, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import yaml

from palate.core.errors import DataError
from palate.core.files import atomic_folder, write_json, write_text
from palate.core.progress import progress
from palate.simulation.latents import feature_chunks, features
from palate.simulation.presets import FORMAT
from palate.simulation.sounds import wav_bytes
from palate.simulation.tables import impression_table, interaction_table, search_table
from palate.simulation.truth_store import TruthWriter

if TYPE_CHECKING:
    from palate.simulation.world import World

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 90, "subsampling": 0}


def write_world(world: World, folder: Path, overwrite: bool) -> Path:
    """See :meth:`World.write`."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        if not overwrite:
            raise DataError("already exists", file=folder, hint="choose another folder or overwrite")
        if not (folder / "world.json").is_file():
            raise DataError("exists and is not a world", file=folder, hint="nothing was removed; choose another folder")
    with atomic_folder(folder) as aside:
        truth = TruthWriter(aside / "truth", world.config, world.items)
        items = world.items.table(world.config)
        if world.config.media:
            items = _write_media(world, aside, items)
        items.write_parquet(aside / "items.parquet")
        world.relations.write_parquet(aside / "relations.parquet")
        if not world.config.media and world.config.given_features:
            _write_features(world, aside)
        counts = _write_log(world, aside, truth)
        truth.close()
        write_text(aside / "palate.yaml", yaml.safe_dump(_settings(world), sort_keys=False, allow_unicode=True))
        write_json(aside / "world.json", _card(world, counts))
    return folder


def _write_media(world: World, folder: Path, items: pl.DataFrame) -> pl.DataFrame:
    held = world.items
    paths: dict[str, list[str | None]] = {"image": [], "audio": []}
    copies: list[tuple[str, str | None, str | None]] = []
    facts: list[tuple[Any, ...]] = []
    with progress("rendering items", len(held)) as advance:
        for row, item_id in enumerate(items["item_id"].to_list()):
            shelf = f"{row // 1000:02d}"
            paths["image"].append(_write_pictures(world, row, folder, f"media/images/{shelf}", item_id))
            paths["audio"].append(_write_sound(world, row, folder, f"media/sounds/{shelf}/{item_id}.wav"))
            copy = world.copy(row)
            copies.append((copy.title, copy.description, copy.tags))
            facts.extend((item_id, *vars(fact).values()) for fact in copy.facts)
            advance()
    names = ("item_id", "field", "start", "stop", "attribute", "value", "true")
    pl.DataFrame(facts, schema=list(names), orient="row").write_parquet(folder / "truth" / "facts.parquet")
    texts = {
        name: pl.Series(values, dtype=pl.String) for name, values in zip(("title", "description", "tags"), zip(*copies))
    }
    media = {name: pl.Series(values, dtype=pl.String) for name, values in paths.items()}
    return items.with_columns(**texts, **media)


def _write_pictures(world: World, row: int, folder: Path, shelf: str, item_id: str) -> str | None:
    if not world.items.present["image"][row]:
        return None
    (folder / shelf).mkdir(parents=True, exist_ok=True)
    for view in range(world.config.views):
        name = f"{item_id}.jpg" if view == 0 else f"{item_id}_{view}.jpg"
        world.picture(row, view=view).save(folder / shelf / name, **JPEG)
    return f"{shelf}/{item_id}.jpg"


def _write_sound(world: World, row: int, folder: Path, path: str) -> str | None:
    if not world.items.present["audio"][row]:
        return None
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(wav_bytes(world.sound(row), world.config.audio_rate))
    return path


def _write_features(world: World, folder: Path) -> None:
    (folder / "features").mkdir()
    config, items = world.config, world.items
    for modality in items.schema.visibility:
        file, shape = folder / "features" / f"{modality}.npy", (len(items), config.feature_dim)
        matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        for rows, number in feature_chunks(items):
            matrix[rows] = features(items, modality, config, rows, number)
        matrix.flush()
        np.save(folder / "features" / f"{modality}_present.npy", items.present[modality])


def _write_log(world: World, folder: Path, truth: TruthWriter) -> dict[str, int]:
    config, ids = world.config, world.items.ids()
    with ExitStack() as stack, progress("simulating users", config.n_users) as advance:
        tables = {name: stack.enter_context(_Table(folder / f"{name}.parquet")) for name in ("users", *_LOG)}
        for users, block in world.blocks():
            names = users.ids(config.n_users)
            truth.add(users)
            tables["users"].add(users.table(config))
            for name, make in _LOG.items():
                tables[name].add(make(block, names, ids, users.first))
            if config.media:
                if "searches" not in tables:
                    tables["searches"] = stack.enter_context(_Table(folder / "searches.parquet"))
                tables["searches"].add(search_table(block, names, ids, users.first, world.items))
            advance(len(users))
        return {name: table.rows for name, table in tables.items()}


_LOG: dict[str, Callable[..., pl.DataFrame]] = {"interactions": interaction_table, "impressions": impression_table}


class _Table:
    """A Parquet file that grows by row groups; its columns are those of the first part."""

    def __init__(self, file: Path) -> None:
        self.file, self.rows = file, 0
        self.writer: Any = None

    def __enter__(self) -> _Table:
        return self

    def add(self, part: pl.DataFrame) -> None:
        import pyarrow.parquet as pq

        table = part.to_arrow(compat_level=pl.CompatLevel.oldest())
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.file, table.schema, compression="zstd", compression_level=1)
        self.writer.write_table(table, row_group_size=max(len(part), 1))
        self.rows += len(part)

    def __exit__(self, *error: object) -> None:
        if self.writer is not None:
            self.writer.close()


def _settings(world: World) -> dict[str, Any]:
    items: dict[str, Any] = {"file": "items.parquet", "id": "item_id"}
    if world.config.media:
        items |= {"text": ["title", "description", "tags"], "image": "image", "audio": "audio"}
    items["attributes"] = ["category", "subcategory", "brand", "price"]
    return {
        "name": f"{world.config.preset}-v{world.config.version}",
        "items": items,
        "users": {"file": "users.parquet", "id": "user_id", "attributes": ["locale", "age_band", "style"]},
        "interactions": {
            "file": "interactions.parquet", "user": "user_id", "item": "item_id", "time": "timestamp", "event": "event",
        },
        "relations": {
            "file": "relations.parquet", "source": "source", "relation": "relation", "target": "target",
            "weight": "weight",
        },
        "positive": {"event": ["click", "save", "cart", "purchase"]},
        "split": {"kind": "temporal", "valid": 0.1, "test": 0.1},
    }  # fmt: skip


def _card(world: World, counts: dict[str, int]) -> dict[str, Any]:
    config = world.config
    return {
        "format": FORMAT, "preset": config.preset, "version": config.version, "seed": config.seed,
        "config_hash": config.hash, "rows": {"items": config.n_items, **counts},
        "visibility": {m: dict(shown) for m, shown in config.schema_.visibility.items()},
        "sessions_per_user": world.log.sessions_per_user, "config": config.model_dump(),
    }  # fmt: skip
