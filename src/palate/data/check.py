"""``palate check``: contents of a data set, missing and unusable values, and leaks that would flatter a result."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.content import Features
from palate.core.errors import DataError, PalateError
from palate.data import leaks, scans
from palate.data.check_report import CheckReport
from palate.data.dataset import Dataset
from palate.data.issues import SEVERITIES, DataIssue
from palate.data.load import load
from palate.data.scans import Probe
from palate.data.splits import TEST, TRAIN, VALID

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


def check(
    data: Dataset | str | Path,
    *,
    layout: str | None = None,
    probe: Probe | None = None,
    features: Mapping[str, Features] | None = None,
    limit: int = 20,
    **options: Any,
) -> CheckReport:
    """Examine a data set; data that cannot be read gives a report with that error.

    Args:
        data: a data set, or the folder or file of one.
        layout: as for :func:`palate.data.load.load`.
        probe: opens one medium, given its modality and its path or bytes, and says what is wrong with it or None.
        features: vectors about to be used, to see what their encoders were fitted on.
        limit: how many rows an issue lists.
        options: as for :func:`palate.data.load.load`.

    Returns:
        The report.
    """
    if not isinstance(data, Dataset):
        path = Path(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                data = load(path, layout, **options)
        except PalateError as error:
            return CheckReport(path.name, issues=(DataIssue.from_error(error),))
    issues, unsafe = _table_issues(data, probe, limit)
    present = {} if unsafe else {name: data.items.present(name) for name in data.items.modalities}
    try:
        issues += _split_issues(data, {**data.items.given, **(features or {})}, limit)
        counts = _counts(data)
    except PalateError as error:
        issues.append(DataIssue.from_error(error, "split"))
        counts = {"users": data.n_users, "items": data.n_items, "interactions": len(data.interactions)}
    order = leaks.order_statistics(data)
    issues += leaks.order_leak(data, order)
    users, items = _degrees(data)
    return CheckReport(
        data.name,
        data.layout,
        data.hash,
        str(data.positive),
        str(data.spec),
        counts,
        _quantiles(users),
        _quantiles(items),
        {name: int(mask.sum()) for name, mask in present.items()},
        _combinations(present, data.n_items),
        order,
        tuple(sorted(issues, key=lambda issue: SEVERITIES.index(issue.severity))),
        data.guesses,
        tuple(data.items.given),
    )


def _degrees(data: Dataset) -> tuple[Any, Any]:
    """Positives per user and per item; nothing where the rule cannot be applied, which is an issue of its own."""
    try:
        return np.bincount(data.positives.users, minlength=1), np.bincount(data.positives.items, minlength=1)
    except PalateError:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)


def _table_issues(data: Dataset, probe: Probe | None, limit: int) -> tuple[list[DataIssue], bool]:
    issues = [replace(issue, rows=issue.rows[:limit]) for issue in data.issues]
    issues += [*scans.unknown_ids(data.interactions, limit), *scans.duplicate_events(data.interactions, limit)]
    media = list(scans.media_issues(data.items, probe, limit))
    unsafe = any(issue.code == "media_unsafe" for issue in media)
    issues += [*media, *scans.odd_text(data.items, limit), *scans.duplicate_texts(data.items, limit)]
    if not unsafe:
        issues += scans.duplicate_files(data.items, limit)
    return issues, unsafe


def _split_issues(data: Dataset, features: Mapping[str, Features], limit: int) -> list[DataIssue]:
    issues = [*leaks.part_overlap(data, limit), *leaks.future_in_train(data), *leaks.statistic_leak(data)]
    issues += leaks.graph_leak(data)
    try:
        issues += leaks.fitted_leak(data, features)
    except DataError as error:
        issues.append(DataIssue.from_error(error, "media_unsafe"))
    if not (data.split.part == TEST).any():
        issues.append(DataIssue("no_test", "warning", "the split leaves no test positive", key=str(data.spec)))
    return issues


def _counts(data: Dataset) -> dict[str, float]:
    positives, part = data.positives, data.split.part
    counts: dict[str, float] = {
        "users": data.n_users,
        "items": data.n_items,
        "interactions": len(data.interactions),
        "positives": len(positives),
        "density": len(positives) / max(data.n_users * data.n_items, 1),
        "users without positive": data.n_users - len(np.unique(positives.users)),
        "items without positive": data.n_items - len(np.unique(positives.items)),
    }
    names = (("train", TRAIN), ("valid", VALID), ("test", TEST))
    counts |= {f"{name} positives": int((part == code).sum()) for name, code in names}
    warm = np.zeros(data.n_items, bool)
    warm[positives.items[part == TRAIN]] = True
    counts["test positives of items unseen in train"] = int((~warm[positives.items[part == TEST]]).sum())
    counts["relation edges"] = sum(len(edges) for edges in data.relations.edges.values())
    return counts


def _quantiles(counts: Any) -> dict[str, float]:
    positive = counts[counts > 0]
    if not len(positive):
        return {}
    values = np.quantile(positive, _QUANTILES)
    quantiles = {f"{share:.0%}": float(value) for share, value in zip(_QUANTILES, values)}
    return quantiles | {"mean": float(positive.mean())}


def _combinations(present: Mapping[str, Any], n: int) -> dict[str, int]:
    if not present:
        return {}
    names = list(present)
    table = np.stack([present[name] for name in names], axis=1)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    sizes = Counter(
        {" + ".join(m for m, has in zip(names, kind) if has) or "nothing": int(c) for kind, c in zip(kinds, counts)}
    )
    return dict(sizes.most_common())
