"""The kernel's table over all items, kept from one content to the next: only columns of changed items are computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.models.match.content_kernel.reduced import BLOCK, Kernel, Regression, by_pattern, item_columns, regression
from palate.models.match.shared.columns import Columns, Rows, worth_patching

MAX_SHIFTED = 32
"""Fitted items that may have changed for the table to be corrected instead of computed again."""

Regressions = Mapping[tuple[str, ...], Regression]


@dataclass(frozen=True)
class KernelFit:
    """What fitting left.

    Attributes:
        kernel: the kernel, fitted.
        rows: int64 [w], the fitted items.
        settings: chosen settings; their ``weights`` and ``ridge`` are read.
        solver: (K + ridge I)^-1, float32 [w, w].
        sources: feature name -> modalities, where items that lack modalities get a regression of their own; else None.
    """

    kernel: Kernel
    rows: Rows
    settings: Mapping[str, Any]
    solver: Tensor
    sources: Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True)
class KernelTable:
    """(K + ridge I)^-1 K(fitted, items) [w, N], zero for items with no modality; nothing is written in place.

    Attributes:
        features: of all N items.
        out: the table.
        known: bool [N], items with any content.
        regressions: those that were needed, by the features that they read.
    """

    features: ItemFeatures
    out: Columns
    known: NDArray[np.bool_]
    regressions: Regressions


def update_table(fit: KernelFit, features: ItemFeatures, before: KernelTable | None) -> KernelTable:
    """The table of ``features``, from ``before`` where few items differ from those it was computed from.

    O(w^2) for each new or changed item, O(w N) once where fitted items are among them, else O(w^2 N).

    Args:
        fit: what fitting left.
        features: of all items.
        before: the table of earlier features, or None.
    """
    size = features.n_items
    if before is None:
        return _compute(fit, features)
    changed = features.changed_since(before.features)
    shifted = np.flatnonzero(np.isin(fit.rows, changed))
    too_many = len(shifted) > MAX_SHIFTED or (len(shifted) and fit.sources is not None)
    if too_many or not worth_patching(changed, size):
        return _compute(fit, features)
    if len(shifted):
        before = _shift(fit, features, before, shifted)
    columns, regressions = _columns(fit, features, changed, before.regressions)
    known = np.zeros(size, bool)
    known[: len(before.known)] = before.known[:size]
    known[changed] = _present(features, changed)
    return KernelTable(features, before.out.replaced(changed, columns, size), known, regressions)


def _compute(fit: KernelFit, features: ItemFeatures) -> KernelTable:
    items = np.arange(features.n_items)
    table, regressions = _columns(fit, features, items, {})
    return KernelTable(features, Columns.of(table), _present(features, items), regressions)


def _columns(
    fit: KernelFit, features: Mapping[str, Features], items: Rows, regressions: Regressions
) -> tuple[Tensor, Regressions]:
    """Columns of ``items`` [w, n], and ``regressions`` with those that were needed for them."""
    part = {name: found.take(items) for name, found in features.items()}
    patterns = [(tuple(features), np.arange(len(items)))] if fit.sources is None else by_pattern(part, fit.sources)
    out = torch.zeros(len(fit.rows), len(items))
    for names, at in patterns:
        if names not in regressions:
            fitted = {name: found.take(fit.rows) for name, found in features.items()}
            new = regression(fit.kernel, fitted, names, fit.settings, fit.solver)
            regressions = {**regressions, names: new}
        out[:, torch.from_numpy(at)] = item_columns(fit.kernel, regressions[names], part, at)
    return out, regressions


def _shift(fit: KernelFit, features: ItemFeatures, before: KernelTable, shifted: Rows) -> KernelTable:
    """``before`` as if the fitted items at places ``shifted`` had always been as ``features`` has them.

    The rows of K that belong to them differ, and with them every column, by
    solver[:, shifted] (K' - K)(shifted, items).
    """
    rows, names = fit.rows[shifted], tuple(features)
    weights = fit.kernel.effective_weights(names, fit.settings["weights"])
    was: Any = fit.kernel.read(before.features, rows, weights)
    now: Any = fit.kernel.read(features, rows, weights)
    size = len(before.known)
    step = torch.empty(len(shifted), size)
    for start in range(0, size, BLOCK):
        block = np.arange(start, min(start + BLOCK, size))
        items: Any = fit.kernel.read(before.features, block, weights)
        old, new = (fit.kernel.combine(fit.kernel.between(fitted, items), weights) for fitted in (was, now))
        step[:, start : start + BLOCK] = new - old
    table = torch.addmm(before.out.dense(), fit.solver[:, torch.from_numpy(shifted)], step)
    return replace(before, out=Columns.of(table), regressions={})


def _present(features: ItemFeatures, items: Rows) -> NDArray[np.bool_]:
    present: NDArray[np.bool_] = np.any([found.present[items] for found in features.values()], axis=0)
    return present
