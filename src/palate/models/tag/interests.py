"""Tags of users: what the items of a history have in common more often than people's histories do, with the items.

A keyword is a value of an attribute, or a word of the texts. For a history of n items of which c have it, the lift is
(c + s r) / (n + s) / r, where r is the share of all takings that fall on items with the keyword and s =
``SHRINKAGE``; keywords are ordered by c log(lift), a tf-idf with people in place of documents, and kept where
c is at least ``LEAST_Z`` standard deviations above n r, which chance seldom gives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.core.boundary import public
from palate.core.errors import ConfigError, did_you_mean
from palate.core.lift import shrunk_lift
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.features.labels import item_labels

if TYPE_CHECKING:
    import scipy.sparse as sp

SHRINKAGE, LEAST_Z = 5.0, 2.0
WORD = r"[^\W\d_]{3,}"
"""A word of a text: three letters or more."""
MAX_WORD_SHARE = 0.1
"""Share of the catalogue above which a word of texts tells nothing: pronouns and the like."""
WORDS = "words"
"""Stands for the columns of texts in ``column`` of a result."""
BLOCK = 1024
"""Users whose keywords are in memory at once."""


@public
def interest_keywords(
    data: Dataset,
    users: Iterable[Any] | None = None,
    k: int = 10,
    *,
    columns: Iterable[str] | None = None,
    min_items: int = 2,
    max_share: float = 0.5,
) -> pl.DataFrame:
    """Keywords of users by their positives, with the items that carry them.

    Time O(entries of the histories x keywords of an item); memory O(block of users x keywords of their items).

    Args:
        data: catalogue and log.
        users: external ids; all users if not given.
        k: keywords of a user at most.
        columns: columns of attributes and texts to take keywords from; all of them if not given.
        min_items: items of the history that must carry a keyword.
        max_share: keywords of a greater share of the catalogue tell nothing and are left out; of words at most 0.1.

    Returns:
        Columns user, keyword, column (``words`` for texts), lift, items (how many carry it), history (how many items
        there are), evidence (their ids); the most telling keyword of a user first.

    Raises:
        ConfigError: for a column that is not there.
        DataError: for an unknown user.
    """
    positives = data.positives
    seen = RaggedArray.build(positives.users, positives.items, data.n_users)
    rows = np.arange(data.n_users) if users is None else data.users.ids.rows(list(users))
    found = keywords_of(data.items, seen, rows, k, columns=columns, min_items=min_items, max_share=max_share)
    carried = found.select("place", "rank", evidence=data.items.ids.ids.gather(found["item"]))
    carried = carried.group_by("place", "rank", maintain_order=True).agg("evidence")
    named = found.drop("item").unique(["place", "rank"], keep="first", maintain_order=True)
    named = named.join(carried, on=["place", "rank"], maintain_order="left")
    user = data.users.ids.ids.gather(rows[named["place"].to_numpy()]).alias("user")
    return named.drop("place", "rank").insert_column(0, user)


def keywords_of(
    items: Catalog,
    seen: RaggedArray,
    users: IntArray,
    k: int = 10,
    *,
    columns: Iterable[str] | None = None,
    min_items: int = 2,
    max_share: float = 0.5,
) -> pl.DataFrame:
    """Keywords of some of the users whose histories are ``seen``, a row for each item that carries one.

    Args:
        items: the catalogue.
        seen: items that each user took; all users together say how often people take a keyword.
        users: int64 [m], lists of ``seen``.
        k: keywords of a user at most.
        columns: as in :func:`interest_keywords`.
        min_items: as in :func:`interest_keywords`.
        max_share: as in :func:`interest_keywords`.

    Returns:
        Columns place (in ``users``), rank (from 1), keyword, column, lift, items, history, item (a row of the
        catalogue), by place, rank and item.

    Raises:
        ConfigError: for a column that is not there.
    """
    terms, names = _terms(items, columns, max_share)
    history = _distinct(seen, len(items))
    taken = np.asarray(history.sum(0)).ravel()
    share = np.asarray(terms.sum(0)).ravel() / max(len(items), 1)
    rate = (taken @ terms + SHRINKAGE * share) / (taken.sum() + SHRINKAGE)
    starts = range(0, max(len(users), 1), BLOCK)
    found = pl.concat(
        _of_block(history[users[at : at + BLOCK]], terms, rate, k, min_items).with_columns(pl.col("place") + at)
        for at in starts
    )
    return found.join(names, on="term", maintain_order="left").select(
        "place", "rank", "keyword", "column", "lift", "items", "history", "item"
    )


def _of_block(
    own: sp.csr_array, terms: sp.csr_array, rate: NDArray[np.float64], k: int, min_items: int
) -> pl.DataFrame:
    """Best keywords of the users whose histories are ``own``, with a row for each item that carries one."""
    sizes = np.asarray(own.sum(1)).ravel()
    counts = (own @ terms).tocoo()
    count, n, r = counts.data, sizes[counts.row], rate[counts.col]
    lift = shrunk_lift(count, n, r, SHRINKAGE)
    telling = (count >= min_items) & (lift > 1) & (count - n * r >= LEAST_Z * np.sqrt(n * r * (1 - r)))
    columns = {"place": counts.row, "term": counts.col, "items": count, "history": n}
    table = pl.DataFrame({name: values[telling].astype(np.int64) for name, values in columns.items()})
    weight = pl.Series("weight", (count * np.log(lift))[telling])
    best = (
        table.with_columns(weight, lift=lift[telling])
        .sort("place", "weight", "term", descending=[False, True, False])
        .with_columns(rank=pl.int_range(1, pl.len() + 1).over("place"))
        .filter(pl.col("rank") <= k)
    )
    taken, carried = own.tocoo(), terms.tocoo()
    taken_items = pl.DataFrame({"place": taken.row.astype(np.int64), "item": taken.col.astype(np.int64)})
    carries = pl.DataFrame({"item": carried.row.astype(np.int64), "term": carried.col.astype(np.int64)})
    carries = carries.join(best, on="term", how="semi")
    evidence = best.select("place", "term").join(taken_items, on="place").join(carries, on=["item", "term"], how="semi")
    return best.join(evidence, on=["place", "term"]).sort("place", "rank", "item")


def _terms(items: Catalog, columns: Iterable[str] | None, max_share: float) -> tuple[sp.csr_array, pl.DataFrame]:
    """Which items carry which keyword, float64 [items, keywords], and the keywords: term, keyword, column."""
    import scipy.sparse as sp

    usual = [c for c in items.columns("attributes") if not items.frame[c].dtype.is_numeric()]
    wanted = [*usual, *items.columns("text")] if columns is None else list(columns)
    for column in wanted:
        if column not in items.frame.columns:
            raise ConfigError(
                "the items have no such column", key=column, hint=did_you_mean(column, items.frame.columns)
            )
    parts = [pl.DataFrame(schema={"row": pl.Int64, "keyword": pl.String, "column": pl.String})]
    for column in wanted:
        values = items.frame[column]
        if column in items.columns("text"):
            words = pl.DataFrame(
                {"row": np.arange(len(values)), "keyword": values.str.to_lowercase().str.extract_all(WORD)}
            )
            parts.append(words.explode("keyword").drop_nulls().with_columns(column=pl.lit(WORDS)))
        else:
            labels = item_labels(values)
            named = pl.Series(labels.names, dtype=pl.String).gather(labels.lists.items)
            parts.append(pl.DataFrame({"row": labels.lists.owners(), "keyword": named, "column": column}))
    found = pl.concat(parts).unique(["row", "keyword", "column"])
    common = (max_share, min(max_share, MAX_WORD_SHARE))
    names = (
        found.group_by("keyword", "column")
        .len()
        .filter(pl.col("len") <= pl.when(pl.col("column") == WORDS).then(common[1]).otherwise(common[0]) * len(items))
        .sort("column", "keyword")
        .with_columns(term=pl.int_range(pl.len(), dtype=pl.Int64))
    )
    kept = found.join(names, on=["keyword", "column"])
    ones = np.ones(len(kept))
    matrix = sp.csr_array((ones, (kept["row"].to_numpy(), kept["term"].to_numpy())), shape=(len(items), len(names)))
    return matrix, names.select("term", "keyword", "column")


def _distinct(seen: RaggedArray, n_items: int) -> sp.csr_array:
    """float64 [users, items], 1 where a user took an item."""
    import scipy.sparse as sp

    matrix = sp.csr_array((np.ones(len(seen.items)), seen.items, seen.indptr), shape=(len(seen), n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix
