"""One sentence for each measure that reports show."""

from __future__ import annotations

_SENTENCES = {
    "recall": "of what a user took later, the share that is among the first {k}; mean over users",
    "capped_recall": "hits among the first {k}, divided by the most that {k} places can hold; mean over users",
    "ndcg": "hits among the first {k}, the earlier the more, divided by the best possible order; mean over users",
    "hit_rate": "share of users with at least one hit among the first {k}",
    "mrr": "1 / place of the first hit among the first {k}, 0 without one; mean over users",
    "map": "precision at the place of each hit among the first {k}, averaged; mean over users",
    "average_precision": "precision at the place of each label of an item among all labels, averaged; mean over items",
    "f1": "2 x labels that are right / (labels given + labels of the item); mean over items",
    "micro_f1": "the same of all labels of all items together",
    "macro_f1": "F1 of each label over all items; mean over labels",
    "macro_average_precision": "precision at the place of each item of a label among all items; mean over labels",
    "accuracy": "share of items that are given exactly their own labels",
    "precision": "share of the first {k} that the user took later; mean over users",
    "auc": "chance that a clicked item is ranked above one that was not clicked",
    "logloss": "mean of -log(probability that was given to what happened); lower is better",
    "coverage": "share of the catalogue that appears in at least one list of {k}",
    "gini": "how unequally the items appear in lists of {k}: 0 all equally often, 1 one item alone",
    "novelty": "mean of -log2(share of users who took the item) over lists of {k}: higher is less known",
    "popularity": "mean number of training positives of the items in lists of {k}",
    "long_tail_share": "share of the lists of {k} outside the most popular items that hold 80 % of the behaviour",
    "serendipity": "share of the lists of {k} that is a hit and not among the {k} most popular items",
    "ild": "mean distance between the contents of the items of a list of {k}: higher is more varied",
}


def explained(names: list[str]) -> list[tuple[str, str]]:
    """Measure -> sentence, for those that have one.

    Args:
        names: such as ``recall@20``.
    """
    found = []
    for name in names:
        kind, _, k = name.partition("@")
        if kind in _SENTENCES:
            found.append((name, _SENTENCES[kind].format(k=k)))
    return found
