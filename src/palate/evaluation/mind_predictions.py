"""The prediction file of the MIND leaderboard: for each impression its articles' ranks, written and read.

A line is ``ImpressionID [rank,rank,...]``: ranks of the articles in the order in which they were shown, 1 is best
(MIND, Wu et al., ACL 2020). The truth file has labels instead of ranks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from palate.batches.impressions import impression_batch
from palate.contracts import Ranker
from palate.core.batch import RaggedArray
from palate.core.errors import DataError
from palate.core.files import atomic_path, write_text
from palate.data.events import Events
from palate.data.readers.mind import BEHAVIOURS, NEWS
from palate.data.readers.shared.tab_lines import lines_of
from palate.features.counters import Asked
from palate.metrics.grouped import evaluate_groups
from palate.training.deployment import deployment_of

CHUNK = 512
"""Impressions scored at once."""
Lists = dict[str, NDArray[np.int64]]


def rank_lists(scores: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Ranks within lists that follow each other, 1 for the highest score; ties in the order in which they are shown.

    Args:
        scores: float [n].
        lengths: int64, entries of each list; their sum is n.

    Returns:
        int64 [n].
    """
    owner = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-scores, owner))
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    ranks = np.empty(len(scores), np.int64)
    ranks[order] = np.arange(len(scores)) - first + 1
    return ranks


def write_predictions(model: Ranker, folder: str | Path, out: str | Path) -> int:
    """Rank the impressions of a MIND folder, with or without click labels, and write ``prediction.txt``.

    Articles of ``news.tsv`` that the model does not know are added to it, as ``add_items`` does, and scored by their
    content. Histories are those of each line. Articles of a history that are in no table are left out of it.

    Args:
        model: a fitted ranker of news.
        folder: holds ``behaviors.tsv`` and ``news.tsv``.
        out: the file to write; it appears whole.

    Returns:
        Number of impressions.

    Raises:
        DataError: for a shown article that is in no table, with its row.
        NotFittedError: if the model is not fitted.
    """
    folder = Path(folder)
    deployment = deployment_of(model)
    news = lines_of(folder / "news.tsv", NEWS)
    known = deployment.items.ids.ids.cast(pl.String)
    new = news.filter(~pl.col("id").is_in(known.implode()))
    own = [column for column in deployment.items.frame.columns if column in new.columns]
    if len(new):
        deployment.add_items(model, new.select(own))
    model.meet_items(deployment.items)
    shown = lines_of(folder / "behaviors.tsv", BEHAVIOURS)
    with (
        atomic_path(out) as temporary,
        open(temporary, "w", encoding="utf-8") as handle,
        torch.inference_mode(),
        model.prediction_pass(),
    ):
        for start in range(0, len(shown), CHUNK):
            part = shown.slice(start, CHUNK)
            lengths, scores = _scored(model, part, folder / "behaviors.tsv", start)
            ranks = rank_lists(scores, lengths)
            for name, line in zip(part["impression"], np.split(ranks, np.cumsum(lengths)[:-1])):
                handle.write(f"{name} [{','.join(map(str, line.tolist()))}]\n")
    return len(shown)


def write_truth(folder: str | Path, out: str | Path) -> int:
    """Write the labels of the impressions of a MIND folder as the leaderboard's truth file.

    Args:
        folder: holds ``behaviors.tsv`` with labels.
        out: the file to write.

    Returns:
        Number of impressions.

    Raises:
        DataError: for an impression without labels, with its row.
    """
    file = Path(folder) / "behaviors.tsv"
    shown = lines_of(file, BEHAVIOURS)
    labels = shown["shown"].fill_null("").str.extract_all(r"-[01](?: |$)")
    counts = shown["shown"].fill_null("").str.extract_all(r"[^ ]+").list.len()
    bad = (labels.list.len() != counts).arg_true()
    if len(bad):
        raise DataError("a shown article has no click label", file=file, row=int(bad[0]) + 1, hint="write N123-0")
    marks = labels.list.eval(pl.element().str.slice(1, 1)).list.join(",")
    lines = [f"{name} [{line}]\n" for name, line in zip(shown["impression"], marks)]
    write_text(out, "".join(lines))
    return len(shown)


def read_lists(file: str | Path) -> Lists:
    """Impression -> ranks (of a prediction) or labels (of a truth file), in the order in which articles were shown.

    Args:
        file: lines of ``ImpressionID [n,n,...]``.

    Raises:
        DataError: naming the row of a line that is not of this form, or of an impression that occurs twice.
    """
    out: Lists = {}
    with open(file, encoding="utf-8") as handle:
        for row, line in enumerate(handle, 1):
            name, _, rest = line.strip().partition(" ")
            values = rest.strip()
            if not (values.startswith("[") and values.endswith("]")):
                raise DataError("not an impression and its list", file=file, row=row, hint="write: 17 [2,1,3]")
            if name in out:
                raise DataError("the impression occurs twice", file=file, row=row, key=name)
            try:
                out[name] = np.array([int(value) for value in values[1:-1].split(",") if value.strip()], np.int64)
            except ValueError as error:
                raise DataError("not a list of whole numbers", file=file, row=row, hint="write: 17 [2,1,3]") from error
    return out


def judge_predictions(prediction: str | Path, truth: str | Path) -> dict[str, float]:
    """AUC, MRR, NDCG@5 and NDCG@10 of a prediction file, as the leaderboard computes them: 1 / rank is the score.

    Args:
        prediction: with ranks.
        truth: with labels 0 and 1 in the same order.

    Returns:
        Means over impressions that have both labels.

    Raises:
        DataError: for an impression that one of the files lacks, or lists of different lengths.
    """
    ranks, labels = read_lists(prediction), read_lists(truth)
    for name, marks in labels.items():
        if name not in ranks:
            raise DataError("the prediction lacks an impression", file=prediction, key=name)
        if len(ranks[name]) != len(marks):
            message = f"{len(ranks[name])} ranks for {len(marks)} articles"
            raise DataError(message, file=prediction, key=name)
    names = list(labels)
    groups = np.repeat(np.arange(len(names)), [len(labels[name]) for name in names])
    scores = 1 / np.concatenate([ranks[name] for name in names])
    values = evaluate_groups(
        np.concatenate([labels[name] for name in names]), scores, groups, ["auc", "mrr_mind", "ndcg@5", "ndcg@10"]
    )
    return {name.removesuffix("_mind"): value for name, value in values.means().items()}


def _scored(model: Ranker, part: pl.DataFrame, file: Path, start: int) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Lengths of the lists of some impressions, and the scores of their articles one after the other."""
    deployment = deployment_of(model)
    lists = part["shown"].fill_null("").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    lengths = lists.list.len().to_numpy().astype(np.int64)
    ids = lists.explode().drop_nulls().str.replace(r"-[01]$", "")
    items = deployment.items.ids.rows(ids.to_list(), "mark")
    if (items < 0).any():
        at = int((items < 0).argmax())
        row = start + int(np.repeat(np.arange(len(lengths)), lengths)[at]) + 1
        raise DataError("a shown article is in no table", file=file, row=row, key=ids[at], hint="add it to news.tsv")
    past = part["history"].fill_null("").str.split(" ").list.eval(pl.element().filter(pl.element() != ""))
    taken = deployment.items.ids.rows(past.explode().drop_nulls().to_list(), "mark")
    owners = np.repeat(np.arange(len(part)), past.list.len().to_numpy())
    counts = np.bincount(owners[taken >= 0], minlength=len(part))
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    history = RaggedArray(indptr, taken[taken >= 0]).newest(model.config.longest)
    groups = np.repeat(np.arange(len(part)), lengths)
    users = deployment.users.rows(part["user"].to_list(), "mark")[groups]
    events = Events(users, items, np.zeros(len(items), np.float32), context={})
    counted = model.counters_now(Asked(users, items))
    context = model.tables.schema.encode_context(events)
    batch = impression_batch(events, users, groups, history, context, counted)
    return lengths, model.logits(batch.to(model.device))["label"].double().cpu().numpy()
