"""Leaks of test answers into training data; each scan yields one issue for each leak it finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from palate.core.content import Features
from palate.core.encoder import content_key
from palate.data.catalog import Catalog
from palate.data.dataset import Dataset
from palate.data.issues import DataIssue
from palate.data.relations import Edges
from palate.data.splits import TEST, TRAIN, timed

DAY = 86_400
_SAMPLE = 5_000


def order_statistics(data: Dataset) -> dict[str, float]:
    """Shares of consecutive events of a user that share a timestamp or a day, and their order in the file.

    Args:
        data: the data set.

    Returns:
        ``same_time`` and ``same_day``: shares of consecutive events; ``day_resolution``: share of times at midnight;
        ``ascending``: share of same-timestamp neighbours in file order whose item ids ascend (of ids that differ): 0.5
        when order inside a timestamp carries no information, far from it when the file was sorted by product code;
        ``ascending_z``: its distance from 0.5 in standard errors. Empty without times.
    """
    log = data.interactions
    if not log.has("time") or len(log) < 2:
        return {}
    rank = np.empty(data.n_items, np.int64)
    rank[data.items.ids.ids.arg_sort().to_numpy()] = np.arange(data.n_items)
    timed = log.frame.select("user", "item", "time").drop_nulls("time")
    order = np.lexsort((np.arange(len(timed)), timed["time"].to_numpy(), timed["user"].to_numpy()))
    user, item, time = (timed[role].to_numpy()[order] for role in ("user", "item", "time"))
    pair = user[1:] == user[:-1]
    if not pair.any():
        return {}
    same = pair & (time[1:] == time[:-1])
    statistics = {"same_time": float(same.sum() / pair.sum())}
    if int(time.max()) > 100_000_000:
        statistics["same_day"] = float((pair & (time[1:] // DAY == time[:-1] // DAY)).sum() / pair.sum())
        statistics["day_resolution"] = float((time % DAY == 0).mean())
    step = rank[item[1:]] - rank[item[:-1]]
    moves = step[same & (step != 0)]
    if len(moves):
        statistics["ascending"] = float((moves > 0).mean())
        statistics["ascending_z"] = float((statistics["ascending"] - 0.5) * 2 * np.sqrt(len(moves)))
    return statistics


def order_leak(data: Dataset, statistics: Mapping[str, float]) -> Iterator[DataIssue]:
    """Order inside a timestamp that follows the item id: it decides which item leave-one-out holds out.

    Args:
        data: the data set.
        statistics: of :func:`order_statistics`.
    """
    if statistics.get("same_time", 0.0) < 0.01:
        return
    share, sorted_by_id = statistics["same_time"], abs(statistics.get("ascending", 0.5) - 0.5)
    file = data.interactions.file
    if sorted_by_id > 0.1 and abs(statistics.get("ascending_z", 0.0)) > 4:
        message = (
            f"{share:.0%} of consecutive events share a timestamp and there the file follows the item id "
            f"({statistics['ascending']:.0%} ascending, 50% expected): the next item can be guessed from its id"
        )
        hint = "report a split by time instead, or shuffle inside a timestamp"
        yield DataIssue("order_by_id", "warning", message, file, column="time", hint=hint)
    elif share > 0.05:
        message = f"{share:.0%} of consecutive events of a user share a timestamp; their order is the file's"
        yield DataIssue("order_ties", "note", message, file, column="time", hint="leave_one_out asks for the last row")


def part_overlap(data: Dataset, limit: int) -> Iterator[DataIssue]:
    """User and item pairs that occur in two parts of a given split.

    Args:
        data: the data set.
        limit: how many rows an issue lists.
    """
    log = data.interactions
    if not log.has("part"):
        return
    frame = log.frame.filter(data.positive.mask(log.frame)).with_columns(
        at=pl.int_range(pl.len()), first=pl.col("part").min().over("user", "item")
    )
    repeats = frame.filter(pl.col("part") != pl.col("first"))
    if len(repeats):
        rows = tuple(repeats["row"][:limit]) if log.has("row") else tuple(int(at) + 1 for at in repeats["at"][:limit])
        message = "a user and item pair of an earlier part occurs again; the repeat is left out"
        yield DataIssue("part_overlap", "warning", message, log.file, rows, "part", None, len(repeats))


def future_in_train(data: Dataset) -> Iterator[DataIssue]:
    """Training events later than test ones: in the whole log for a split by time, within a user for a given one.

    Args:
        data: the data set.
    """
    positives, part = data.positives, data.split.part
    if positives.times is None or not (part == TEST).any() or data.spec.kind not in ("temporal", "given"):
        return
    file = data.interactions.file
    known = timed(positives.times)
    train, test = known & (part == TRAIN), known & (part == TEST)
    earliest = np.full(data.n_users, np.iinfo(np.int64).max)
    np.minimum.at(earliest, positives.users[test], positives.times[test])
    late = train & (positives.times > earliest[positives.users])
    if late.any():
        message = f"{int(late.sum())} training events come after a test event of the same user"
        hint = "the given split is not by time; use --split temporal" if data.spec.kind == "given" else None
        yield DataIssue("future_in_train", "warning", message, file, column="part", count=int(late.sum()), hint=hint)
    if data.spec.kind == "temporal" and test.any():
        start = positives.times[test].min()
        after = int((train & (positives.times > start)).sum())
        if after:
            yield DataIssue("future_in_train", "error", "training events after the start of test", file, count=after)


def fitted_leak(data: Dataset, features: Mapping[str, Features]) -> Iterator[DataIssue]:
    """Vectors of an encoder that was fitted on more than training may see.

    ``Features.fitted_on`` is :func:`palate.core.encoder.content_key` of the content an encoder was fitted on; it is
    compared with the key of the content that this split shows, and with that of the whole catalogue.

    Args:
        data: the data set.
        features: vectors by name.

    Raises:
        DataError: if a media path leaves the data folder.
    """
    split = data.split
    if split.visible_items.all():
        return
    for name, value in features.items():
        if value.fitted_on is None:
            continue
        modality = name if name in data.items.modalities else name.partition(":")[0]
        if not data.items.columns(modality):
            continue
        allowed = {content_key(data.items.raw(modality, np.flatnonzero(seen)))
                   for seen in (split.visible_items, split.refit_items)}  # fmt: skip
        if value.fitted_on in allowed:
            continue
        if value.fitted_on == content_key(data.items.raw(modality)):
            message = "the encoder was fitted on all items, test items included"
            hint = "fit it on the view's visible_items, or label the split transductive"
            yield DataIssue("fitted_on_test", "error", message, key=name, hint=hint)
        else:
            message = "cannot tell what the encoder was fitted on"
            yield DataIssue("fitted_on_unknown", "warning", message, key=name, hint="encode again with this split")


def statistic_leak(data: Dataset) -> Iterator[DataIssue]:
    """Numeric columns that repeat counts or mean ratings over all events, test included.

    Args:
        data: the data set.
    """
    positives, log = data.positives, data.interactions
    train = data.split.part == TRAIN
    if train.all():
        return
    for catalog, rows, events in ((data.items, positives.items, "item"), (data.users, positives.users, "user")):
        n, kinds = len(catalog), catalog.kinds
        every = log.frame[events].to_numpy()
        truths: dict[str, NDArray] = {
            "counts": np.bincount(every, minlength=n),
            "counts of positives": np.bincount(rows, minlength=n),
        }
        if log.has("rating"):
            rating = log.frame["rating"].fill_null(0.0).to_numpy()
            with np.errstate(invalid="ignore", divide="ignore"):
                truths["mean ratings"] = np.bincount(every, rating, minlength=n) / truths["counts"]
        seen = np.bincount(rows[train], minlength=n)
        for column in (c for c in catalog.frame.columns if kinds.get(c) == "attributes"):
            yield from _same_numbers(catalog, column, truths, seen)


def _same_numbers(
    catalog: Catalog, column: str, truths: Mapping[str, NDArray], seen: NDArray[np.int64]
) -> Iterator[DataIssue]:
    if not catalog.frame[column].dtype.is_numeric():
        return
    values = catalog.frame[column].cast(pl.Float64).to_numpy()
    for statistic, truth in truths.items():
        usable = np.isfinite(values) & np.isfinite(truth) & (truth > 0)
        if usable.sum() < 20 or len(np.unique(truth[usable])) < 3:
            continue
        full = float(np.isclose(values[usable], truth[usable], atol=0.006).mean())
        if full > 0.9 and not np.array_equal(values[usable], seen[usable]):
            message = f"the column holds {statistic} over all events, test included"
            hint = "leave it out (items: {ignore: ...}) or compute it on train"
            yield DataIssue("statistic_over_all", "error", message, catalog.file, column=column, hint=hint)
            return


def graph_leak(data: Dataset, seed: int = 0) -> Iterator[DataIssue]:
    """Item-item edges that join the pairs of items which only test events bring together.

    Args:
        data: the data set.
        seed: of the sample of test events.
    """
    positives, part = data.positives, data.split.part
    train, test = part == TRAIN, np.flatnonzero(part == TEST)
    if not len(test) or not train.any() or not data.relations.edges:
        return
    import scipy.sparse as sp

    ones = np.ones(int(train.sum()), np.float32)
    matrix = sp.csr_array((ones, (positives.users[train], positives.items[train])), shape=(data.n_users, data.n_items))
    rng = np.random.default_rng(seed)
    sample = rng.choice(test, min(_SAMPLE, len(test)), replace=False)
    sample = sample[np.diff(matrix.indptr)[positives.users[sample]] > 0]
    lengths = np.diff(matrix.indptr)[positives.users[sample]]
    past = matrix.indices[matrix.indptr[positives.users[sample]] + (rng.random(len(sample)) * lengths).astype(np.int64)]
    by_item = sp.csr_array(matrix.T)
    together = np.asarray(by_item[past].multiply(by_item[positives.items[sample]]).sum(axis=1)).ravel()
    fresh = together == 0
    pairs = np.stack([past[fresh], positives.items[sample][fresh]]).astype(np.int64)
    if pairs.shape[1] < 20:
        return
    other = np.stack([pairs[0], rng.permutation(pairs[1])])
    for name, edges in data.relations.edges.items():
        if edges.target_kind == "item":
            known = _keys(edges, data.n_items)
            hit, chance = (_covered(known, two[0] * data.n_items + two[1]) for two in (pairs, other))
            if hit > 0.5 and hit > 5 * chance:
                message = f"{hit:.0%} of the pairs only test events bring together are edges ({chance:.0%} by chance)"
                yield DataIssue("test_in_graph", "error", message, key=name, hint="build the relation from train only")


def _keys(edges: Edges, n: int) -> NDArray[np.int64]:
    """Both directions of every edge as sorted numbers."""
    return np.sort(np.concatenate([edges.source * n + edges.target, edges.target * n + edges.source]))


def _covered(known: NDArray[np.int64], keys: NDArray[np.int64]) -> float:
    at = np.searchsorted(known, keys)
    return float((known[np.minimum(at, len(known) - 1)] == keys).mean()) if len(known) else 0.0
