"""``palate check``: what a data set holds, what is missing, what is wrong, and what would flatter a result."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.content import Features
from palate.core.errors import DataError, PalateError
from palate.data import faults as scans
from palate.data import leaks
from palate.data.dataset import Dataset
from palate.data.faults import Fault, Probe
from palate.data.readers._base import load
from palate.data.splits import TEST, TRAIN, VALID

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)


@dataclass(frozen=True)
class Report:
    """The outcome of :func:`check`.

    Attributes:
        name, layout, hash, positive, split: what was checked, ``hash`` as :attr:`Dataset.hash`.
        counts: users, items, interactions, positives, density, parts.
        per_user, per_item: quantiles of positives (those with at least one).
        modalities: name -> how many items have it; combinations: which sets of modalities occur, how often.
        order: see :func:`palate.data.leaks.order_facts`.
        faults: errors first. notes: guesses made while reading.
    """

    name: str
    layout: str = ""
    hash: str = ""
    positive: str = ""
    split: str = ""
    counts: Mapping[str, float] = field(default_factory=dict)
    per_user: Mapping[str, float] = field(default_factory=dict)
    per_item: Mapping[str, float] = field(default_factory=dict)
    modalities: Mapping[str, int] = field(default_factory=dict)
    combinations: Mapping[str, int] = field(default_factory=dict)
    order: Mapping[str, float] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """No error; warnings and notes may be there."""
        return not any(fault.severity == "error" for fault in self.faults)

    def find(self, code: str) -> list[Fault]:
        """The faults of one code."""
        return [fault for fault in self.faults if fault.code == code]

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``--json``."""
        plain = {key: value for key, value in vars(self).items() if key not in ("faults", "notes")}
        plain = {key: dict(value) if isinstance(value, Mapping) else value for key, value in plain.items()}
        return {"ok": self.ok, **plain, "faults": [f.to_json() for f in self.faults], "notes": list(self.notes)}

    def render(self, width: int = 100, color: bool = False) -> str:
        """Tables for a terminal."""
        from palate.data._render import render_report

        return render_report(self, width, color)


def check(
    data: Dataset | str | Path,
    *,
    layout: str | None = None,
    probe: Probe | None = None,
    features: Mapping[str, Features] | None = None,
    limit: int = 20,
    **options: Any,
) -> Report:
    """Look at a data set, or read one and look at it; data that cannot be read is a report with that error.

    Args:
        probe: opens one medium and says what is wrong with it; given by rooms that can decode media.
        features: vectors about to be used, to see what their encoders were fitted on.
        limit: how many rows a fault lists. options: as for :func:`palate.data.readers._base.load`.
    """
    if not isinstance(data, Dataset):
        path = Path(data)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)
                data = load(path, layout, **options)
        except PalateError as error:
            return Report(path.name, faults=(Fault.of(error),))
    found, unsafe = _table_faults(data, probe, limit)
    present = {} if unsafe else {name: data.items.present(name) for name in data.items.modalities}
    try:
        found += _split_faults(data, {**data.items.given, **(features or {})}, limit)
        counts = _counts(data)
    except PalateError as error:
        found.append(Fault.of(error, "split"))
        counts = {"users": data.n_users, "items": data.n_items, "interactions": len(data.interactions)}
    order = leaks.order_facts(data)
    found += leaks.order_leak(data, order)
    users, items = _degrees(data)
    return Report(
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
        tuple(sorted(found, key=lambda fault: ("error", "warning", "note").index(fault.severity))),
        data.notes,
    )


def _degrees(data: Dataset) -> tuple[Any, Any]:
    """Positives per user and per item; nothing where the rule cannot be applied, which is a fault of its own."""
    try:
        return np.bincount(data.positives.users, minlength=1), np.bincount(data.positives.items, minlength=1)
    except PalateError:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)


def _table_faults(data: Dataset, probe: Probe | None, limit: int) -> tuple[list[Fault], bool]:
    found = [*scans.unknown_ids(data.interactions, limit), *scans.duplicate_events(data.interactions, limit)]
    media = list(scans.media_faults(data.items, probe, limit))
    unsafe = any(fault.code == "media_unsafe" for fault in media)
    found += [*media, *scans.odd_text(data.items, limit), *scans.twin_texts(data.items, limit)]
    if not unsafe:
        found += scans.twin_files(data.items, limit)
    return found, unsafe


def _split_faults(data: Dataset, features: Mapping[str, Features], limit: int) -> list[Fault]:
    found = [*leaks.part_overlap(data, limit), *leaks.future_in_train(data), *leaks.statistic_leak(data)]
    found += leaks.graph_leak(data)
    try:
        found += leaks.fitted_leak(data, features)
    except DataError as error:
        found.append(Fault.of(error, "media_unsafe"))
    if not (data.split.part == TEST).any():
        found.append(Fault("no_test", "warning", "the split leaves no test positive", key=str(data.spec)))
    return found


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
    held = counts[counts > 0]
    if not len(held):
        return {}
    values = np.quantile(held, _QUANTILES)
    return {f"{share:.0%}": float(value) for share, value in zip(_QUANTILES, values)} | {"mean": float(held.mean())}


def _combinations(present: Mapping[str, Any], n: int) -> dict[str, int]:
    if not present:
        return {}
    names = list(present)
    table = np.stack([present[name] for name in names], axis=1)
    kinds, counts = np.unique(table, axis=0, return_counts=True)
    found = Counter(
        {" + ".join(m for m, has in zip(names, kind) if has) or "nothing": int(c) for kind, c in zip(kinds, counts)}
    )
    return dict(found.most_common())
