"""Write a world: the plain folder (tables, media, palate.yaml), its truth, and world.json, in bounded memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import yaml

from palate.core.errors import DataError
from palate.core.files import atomic_folder, write_json, write_text
from palate.core.output import check_not_protected, is_free, keep_others, kind_of, mark
from palate.core.progress import progress
from palate.simulation import pictures, sounds, words
from palate.simulation.items import Items
from palate.simulation.latents import feature_chunks, features
from palate.simulation.log import Block, Log
from palate.simulation.presets import FORMAT, WorldConfig
from palate.simulation.tables import context_table, impression_table, interaction_table, search_table
from palate.simulation.tastes import Users
from palate.simulation.truth_store import TruthWriter

JPEG: dict[str, Any] = {"format": "JPEG", "quality": 90, "subsampling": 0}


def check_target(folder: Path, overwrite: bool) -> None:
    """Check that a world may be written to ``folder``.

    Raises:
        DataError: the folder exists (without ``overwrite``), or is not a world.
        ArtefactError: for the working folder and the like.
    """
    check_not_protected(folder)
    if not is_free(folder):
        if not overwrite:
            raise DataError(
                "already exists", file=folder, hint="choose another folder, or --overwrite (overwrite=True)"
            )
        if not folder.is_dir() or kind_of(folder) != "world":
            raise DataError("exists and is not a world", file=folder, hint="nothing was removed; choose another folder")


def write_world(
    folder: Path,
    config: WorldConfig,
    items: Items,
    relations: pl.DataFrame,
    log: Log,
    blocks: Iterable[tuple[Users, Block]],
) -> Path:
    """Write a world to ``folder``, atomically.

    Args:
        folder: target, replaced if it exists; files that others put there stay.
        config: settings of the world.
        items: all items.
        relations: see :func:`palate.simulation.relations.make_relations`.
        log: the simulator of the blocks.
        blocks: users and their part of the log, in order.

    Returns:
        The folder.
    """
    with atomic_folder(folder) as aside:
        truth = TruthWriter(aside / "truth", config, items)
        table = items.table(config)
        if config.media:
            table = _write_media(items, config, aside, table)
        table.write_parquet(aside / "items.parquet")
        relations.write_parquet(aside / "relations.parquet")
        if not config.media and config.given_features:
            _write_features(items, config, aside)
        counts = _write_log(items, log, blocks, aside, truth)
        truth.close()
        write_text(aside / "palate.yaml", yaml.safe_dump(_settings(config), sort_keys=False, allow_unicode=True))
        write_json(aside / "world.json", _card(config, log.sessions_per_user, counts))
        mark(aside, "world")
        keep_others(Path(os.path.realpath(folder)), aside)
    return folder


def _write_media(items: Items, config: WorldConfig, folder: Path, table: pl.DataFrame) -> pl.DataFrame:
    paths: dict[str, list[str | None]] = {"image": [], "detail": [], "audio": [], "sitelinks": []}
    copies: list[tuple[str, str | None, str | None]] = []
    facts: list[tuple[Any, ...]] = []
    with progress("rendering items", len(items)) as advance:
        for row, item_id in enumerate(table["item_id"].to_list()):
            part = f"{row // 1000:02d}"
            paths["image"].append(_write_pictures(items, row, config, folder, f"media/images/{part}", item_id))
            paths["detail"].append(_write_detail(items, row, config, folder, f"media/details/{part}/{item_id}.jpg"))
            paths["audio"].append(_write_sound(items, row, config, folder, f"media/sounds/{part}/{item_id}.wav"))
            copy = words.write_copy(items, row, config)
            paths["sitelinks"].append(copy.sitelinks)
            copies.append((copy.title, copy.description, copy.tags))
            facts.extend((item_id, *vars(fact).values()) for fact in copy.facts)
            advance()
    names = ("item_id", "field", "start", "stop", "attribute", "value", "true")
    pl.DataFrame(facts, schema=list(names), orient="row").write_parquet(folder / "truth" / "facts.parquet")
    texts = {
        name: pl.Series(values, dtype=pl.String) for name, values in zip(("title", "description", "tags"), zip(*copies))
    }
    media = {name: pl.Series(paths[name], dtype=pl.String) for name in paths if name in items.schema.visibility}
    return table.with_columns(**texts, **media)


def _write_pictures(
    items: Items, row: int, config: WorldConfig, folder: Path, subfolder: str, item_id: str
) -> str | None:
    if "image" not in items.present or not items.present["image"][row]:
        return None
    (folder / subfolder).mkdir(parents=True, exist_ok=True)
    for view in range(config.views):
        name = f"{item_id}.jpg" if view == 0 else f"{item_id}_{view}.jpg"
        pictures.render(items, row, config, None, view).save(folder / subfolder / name, **JPEG)
    return f"{subfolder}/{item_id}.jpg"


def _write_detail(items: Items, row: int, config: WorldConfig, folder: Path, path: str) -> str | None:
    if "detail" not in items.present or not items.present["detail"][row]:
        return None
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    pictures.render_detail(items, row, config).save(folder / path, **JPEG)
    return path


def _write_sound(items: Items, row: int, config: WorldConfig, folder: Path, path: str) -> str | None:
    if "audio" not in items.present or not items.present["audio"][row]:
        return None
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    clip = sounds.synthesise(items, row, config)
    (folder / path).write_bytes(sounds.wav_bytes(clip, config.audio_rate))
    return path


def _write_features(items: Items, config: WorldConfig, folder: Path) -> None:
    (folder / "features").mkdir()
    for modality in items.schema.visibility:
        file, shape = folder / "features" / f"{modality}.npy", (len(items), config.feature_dim)
        matrix = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)
        for rows, number in feature_chunks(items):
            matrix[rows] = features(items, modality, config, rows, number)
        matrix.flush()
        np.save(folder / "features" / f"{modality}_present.npy", items.present[modality])


def _write_log(
    items: Items, log: Log, blocks: Iterable[tuple[Users, Block]], folder: Path, truth: TruthWriter
) -> dict[str, int]:
    ids, config = items.ids(), log.config
    with ExitStack() as stack, progress("simulating users", config.n_users) as advance:
        names = ["users", "interactions", "impressions"] + ["searches"] * config.media
        tables = {name: stack.enter_context(_Table(folder / f"{name}.parquet")) for name in names}
        contexts = stack.enter_context(_Table(folder / "truth" / "contexts.parquet"))
        for users, block in blocks:
            given = (block, users.ids(config.n_users), ids, users.first)
            truth.add(users)
            tables["users"].add(users.table(config))
            tables["interactions"].add(interaction_table(*given))
            tables["impressions"].add(impression_table(*given, log.contexts))
            if config.media:
                tables["searches"].add(search_table(*given, items, log.contexts))
            if log.contexts is not None:
                contexts.add(context_table(block))
            advance(len(users))
        return {name: table.rows for name, table in tables.items()}


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


def _settings(config: WorldConfig) -> dict[str, Any]:
    items: dict[str, Any] = {"file": "items.parquet", "id": "item_id"}
    if config.media:
        items["text"] = ["title", "description", "tags", *[m for m in ("sitelinks",) if m in config.schema_.visibility]]
        items |= {name: name for name in ("image", "audio") if name in config.schema_.visibility}
    items["attributes"] = ["category", "subcategory", "brand", "price"]
    log: dict[str, Any] = {"file": "interactions.parquet", "user": "user_id", "item": "item_id", "time": "timestamp"}
    positive: dict[str, Any] = {"event": ["click", "save", "cart", "purchase"]}
    if config.preset in ("news", "ads"):
        # of a click on news, the articles beside it are half of what it says
        log |= {"file": "impressions.parquet", "label": "clicked", "impression": "impression_id"}
        log |= {"position": "position", "propensity": "propensity"}
        positive = {"label": ">=1"}
    else:
        log["event"] = "event"
    if config.sponsored is not None:
        items["attributes"] = ["category", "subcategory", "advertiser", "campaign", "price"]
        log["context"] = ["page", "device", "slot", "hour", "query"]
    if config.reading_seconds is not None:
        items["attributes"] = ["category", "subcategory", "brand", "reading_time"]
    return {
        "name": f"{config.preset}-v{config.version}",
        "items": items,
        "users": {"file": "users.parquet", "id": "user_id", "attributes": ["locale", "age_band", "style"]},
        "interactions": log,
        "relations": {
            "file": "relations.parquet", "source": "source", "relation": "relation", "target": "target",
            "weight": "weight",
        },
        "positive": positive,
        "split": {"kind": "temporal", "valid": 0.1, "test": 0.1},
    }  # fmt: skip


def _card(config: WorldConfig, sessions_per_user: float, counts: dict[str, int]) -> dict[str, Any]:
    return {
        "format": FORMAT, "preset": config.preset, "version": config.version, "seed": config.seed,
        "config_hash": config.hash, "rows": {"items": config.n_items, **counts},
        "visibility": {m: dict(shown) for m, shown in config.schema_.visibility.items()},
        "sessions_per_user": sessions_per_user, "config": config.stored(),
    }  # fmt: skip
