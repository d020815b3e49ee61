"""Tables of a block with external ids."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.simulation.contexts import CODES, ContextModel
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


def impression_table(
    block: Block, users: pl.Series, items: pl.Series, first: int, contexts: ContextModel | None = None
) -> pl.DataFrame:
    """Table of items shown.

    Columns user_id, item_id, timestamp, impression_id, position (0-based), propensity (of the item there), clicked;
    in worlds with reading times dwell (seconds, of clicks); of advertisements also page, device, slot, hour, query,
    purchased and purchase_time (Unix seconds, null unless purchased).

    Args:
        block: of the log.
        users: external ids of the block's users.
        items: external ids of all items.
        first: row of the block's first user in the world.
        contexts: of a world of advertisements.
    """
    rows = block.impressions
    names = ("timestamp", "impression", "position", "propensity", "clicked")
    table = _ids(rows, users, items, first).with_columns(
        pl.Series("impression_id" if name == "impression" else name, rows[name]) for name in names
    )
    if "dwell" in rows:
        dwell = pl.Series(np.round(rows["dwell"].astype(np.float64), 1)).fill_nan(None)
        table = table.with_columns(dwell=dwell)
    if contexts is None:
        return table
    purchase = {"purchased": pl.Series(rows["purchased"]), "purchase_time": pl.Series(rows["purchase_time"])}
    table = table.with_columns(**contexts.columns(rows), **purchase)
    return table.with_columns(pl.when("purchased").then("purchase_time"))


def context_table(block: Block) -> pl.DataFrame:
    """Codes of the context of each impression, see :data:`palate.simulation.contexts.CODES`.

    Args:
        block: of the log of a world of advertisements.
    """
    rows = block.impressions
    heads = np.flatnonzero(rows["position"] == 0)
    return pl.DataFrame({"impression_id": rows["impression"][heads]} | {name: rows[name][heads] for name in CODES})


def search_table(
    block: Block, users: pl.Series, ids: pl.Series, first: int, items: Items, contexts: ContextModel | None = None
) -> pl.DataFrame:
    """Columns user_id, timestamp, query, item_id of the click that followed.

    Args:
        block: of the log.
        users: external ids of the block's users.
        ids: external ids of all items.
        first: row of the block's first user in the world.
        items: all items.
        contexts: of a world of advertisements.
    """
    rows = block.searches
    if contexts is None:
        texts = [write_query(items, int(item), float(draw)) for item, draw in zip(rows["item"], rows["draw"])]
        queries = pl.Series(texts, dtype=pl.String)
    else:
        queries = contexts.columns(rows)["query"]
    table = _ids(rows, users, ids, first).with_columns(timestamp=pl.Series(rows["timestamp"]), query=queries)
    return table.select("user_id", "timestamp", "query", "item_id")


def _ids(rows: Mapping[str, NDArray], users: pl.Series, items: pl.Series, first: int) -> pl.DataFrame:
    return pl.DataFrame({"user_id": users.gather(rows["user"] - first), "item_id": items.gather(rows["item"])})
