"""Relations: knowledge-graph triples that follow the texts, and pairs that earlier customers bought together."""

from __future__ import annotations

import numpy as np
import polars as pl
import scipy.sparse as sp

from palate.core.seeding import rng_for
from palate.simulation.items import HIDDEN, Items
from palate.simulation.log import Log
from palate.simulation.presets import WorldConfig
from palate.simulation.shop import BRANDS
from palate.simulation.tastes import Population

VERBS = {
    "material": "made_of", "purpose": "used_for", "shape": "shaped", "era": "styled",
    "place": "happened_in", "theme": "about", "tone": "toned", "form": "is_a",
}  # fmt: skip


def make_relations(items: Items, population: Population, config: WorldConfig, neighbours: int = 10) -> pl.DataFrame:
    """Make the table (source, relation, target, weight).

    ``belongs_to``, ``sold_by`` and ``in_campaign`` follow the catalogue; ``made_of``, ``used_for`` and the like repeat
    the values that the text shows, right or wrong; ``bought_together`` (weight: cosine) comes from customers of the
    season before, who are in no log: no split of the log can leak through it. Items that arrived since have no such
    edge.

    Args:
        items: all items.
        population: of the users.
        config: settings of the world.
        neighbours: largest number of ``bought_together`` edges of an item.
    """
    ids, leaf = items.ids(), items.leaf[items.content].astype(np.int64)
    parts = [
        _triples(ids, "belongs_to", pl.Series(items.schema.leaves).gather(leaf)),
        _triples(ids, "sold_by", pl.Series(BRANDS).gather(items.brand[items.content].astype(np.int64))),
    ]
    if items.campaign is not None:
        parts.append(_triples(ids, "in_campaign", items.table(config)["campaign"]))
    stated_names = [name for name in VERBS if name in items.schema.visibility["text"]]
    for name, verb in ((name, VERBS[name]) for name in stated_names):
        codes = items.shown["text"][:, items.schema.column(name)]
        stated = np.flatnonzero((codes != HIDDEN) & items.present["text"])
        values = pl.Series(items.schema.values(name)).gather(codes[stated].astype(np.int64))
        parts.append(_triples(ids.gather(stated), verb, values))
    parts.append(_bought_together(ids, items, population, config, neighbours))
    return pl.concat(parts)


def _triples(source: pl.Series, relation: str, target: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"source": source, "relation": relation, "target": target, "weight": 1.0}).with_columns(
        pl.col("weight").cast(pl.Float32)
    )


def _bought_together(
    ids: pl.Series, items: Items, population: Population, config: WorldConfig, neighbours: int
) -> pl.DataFrame:
    # only items present on day 0 could be bought before it
    known = int((items.arrival == 0).sum())
    early = items.head(known)
    size = min(config.n_users, config.block)
    customers = population.draw(0, size, rng_for(config.seed, "customers before"))
    log = Log(early, population, config, label="season before")
    events = log.block(0, customers).interactions
    bought = events["event"] >= 2
    shape = (size, known)
    grid = sp.csr_matrix(
        (np.ones(int(bought.sum()), np.float32), (events["user"][bought], events["item"][bought])), shape
    )
    grid.data[:] = 1
    together = (grid.T @ grid).tocsr()
    together.setdiag(0)
    together.eliminate_zeros()
    count = np.maximum(np.asarray(grid.sum(axis=0)).ravel(), 1)
    edges = together.tocoo()
    table = pl.DataFrame(
        {"a": edges.row, "b": edges.col, "weight": (edges.data / np.sqrt(count[edges.row] * count[edges.col]))}
    ).with_columns(pl.col("weight").cast(pl.Float32))
    best = table.sort(["a", "weight", "b"], descending=[False, True, False]).group_by("a", maintain_order=True)
    table = best.head(neighbours)
    return pl.DataFrame(
        {
            "source": ids.gather(table["a"].cast(pl.Int64)),
            "relation": pl.repeat("bought_together", len(table), eager=True),
            "target": ids.gather(table["b"].cast(pl.Int64)),
            "weight": table["weight"],
        }
    )
