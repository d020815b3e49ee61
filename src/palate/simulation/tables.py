"""Tables of a block with external ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.simulation.items import Items
from palate.simulation.log import EVENTS, Block
from palate.simulation.words import write_query


def interaction_table(block: Block, users: pl.Series, items: pl.Series, first: int) -> pl.DataFrame:
    """Columns user_id, item_id, timestamp (Unix seconds), event, dwell (seconds, of clicks), value (of purchases).

    Args:
        block: of the log.
        users: external ids of the block's users.
        items: external ids of all items.
        first: row of the block's first user in the world.
    """
    rows = block.interactions
    return _ids(rows, users, items, first).with_columns(
        timestamp=pl.Series(rows["timestamp"]),
        event=pl.Series(EVENTS).gather(rows["event"].astype(np.int64)),
        dwell=pl.Series(np.round(rows["dwell"].astype(np.float64), 1)).fill_nan(None),
        value=pl.Series(np.round(rows["value"].astype(np.float64), 2)).fill_nan(None),
    )


def impression_table(block: Block, users: pl.Series, items: pl.Series, first: int) -> pl.DataFrame:
    """Columns user_id, item_id, timestamp, impression_id, position (0-based), propensity (of the item there), clicked.

    Args:
        block: of the log.
        users: external ids of the block's users.
        items: external ids of all items.
        first: row of the block's first user in the world.
    """
    rows = block.impressions
    names = ("timestamp", "impression", "position", "propensity", "clicked")
    return _ids(rows, users, items, first).with_columns(
        pl.Series("impression_id" if name == "impression" else name, rows[name]) for name in names
    )


def search_table(block: Block, users: pl.Series, ids: pl.Series, first: int, items: Items) -> pl.DataFrame:
    """Columns user_id, timestamp, query, item_id of the click that followed.

    Args:
        block: of the log.
        users: external ids of the block's users.
        ids: external ids of all items.
        first: row of the block's first user in the world.
        items: all items.
    """
    rows = block.searches
    queries = [write_query(items, int(item), float(draw)) for item, draw in zip(rows["item"], rows["draw"])]
    table = _ids(rows, users, ids, first).with_columns(
        timestamp=pl.Series(rows["timestamp"]), query=pl.Series(queries, dtype=pl.String)
    )
    return table.select("user_id", "timestamp", "query", "item_id")


def _ids(rows: Mapping[str, NDArray], users: pl.Series, items: pl.Series, first: int) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users.gather(rows["user"] - first), "item_id": items.gather(rows["item"])})
