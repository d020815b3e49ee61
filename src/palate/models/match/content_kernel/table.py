"""The kernel's table over all items, kept from one content to the next: only columns of changed items are made anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.core.content import Features
from palate.models.match.content_kernel.reduced import CHUNK, Kernel, Places, Regression, by_pattern, carry, regression
from palate.models.match.shared.columns import Columns, changed_rows, few

MOVED = 32
"""Fitted items that may have changed for the table to be corrected and not made anew."""

Content = Mapping[str, Features]
Regressions = Mapping[tuple[str, ...], Regression]


@dataclass(frozen=True)
class Fit:
    """What fitting left. rows: the fitted items. solver: (K + ridge I)^-1 [w, w]. sources: where lacks matter."""

    kernel: Kernel
    rows: Places
    settings: Mapping[str, Any]
    solver: Tensor
    sources: Mapping[str, tuple[str, ...]] | None


@dataclass(frozen=True)
class Carried:
    """(K + ridge I)^-1 K(fitted, items) [w, N], zero for items with no modality; nothing is written in place.

    Attributes:
        content: what it was made of. known: bool [N], items with any content. by: regressions, by features.
    """

    content: Content
    out: Columns
    known: NDArray[np.bool_]
    by: Regressions


def carried(fit: Fit, content: Content, before: Carried | None) -> Carried:
    """The table of ``content``, from ``before`` where few rows differ from what that was made of.

    O(w^2) for each new or changed item, O(w N) once where fitted items are among them, else O(w^2 N).
    """
    size = len(next(iter(content.values())))
    changed = None if before is None else changed_rows(before.content, content)
    if before is None or changed is None or not few(changed, size):
        return _whole(fit, content, size)
    moved = np.flatnonzero(np.isin(fit.rows, changed))
    if len(moved) > MOVED or (len(moved) and fit.sources is not None):
        return _whole(fit, content, size)
    if len(moved):
        before = _moved(fit, content, before, moved)
    fresh, by = _columns(fit, content, changed, before.by)
    known = np.zeros(size, bool)
    known[: len(before.known)] = before.known[:size]
    known[changed] = _present(content, changed)
    return Carried(content, before.out.replaced(changed, fresh, size), known, by)


def _whole(fit: Fit, content: Content, size: int) -> Carried:
    items = np.arange(size)
    table, by = _columns(fit, content, items, {})
    return Carried(content, Columns.of(table), _present(content, items), by)


def _columns(fit: Fit, content: Content, items: Places, by: Regressions) -> tuple[Tensor, Regressions]:
    """Columns of ``items`` [w, n], and ``by`` with the regressions that were needed for them."""
    part = {name: found.take(items) for name, found in content.items()}
    patterns = [(tuple(content), np.arange(len(items)))] if fit.sources is None else by_pattern(part, fit.sources)
    out = torch.zeros(len(fit.rows), len(items))
    for names, at in patterns:
        if names not in by:
            fitted = {name: found.take(fit.rows) for name, found in content.items()}
            by = {**by, names: regression(fit.kernel, fitted, names, fit.settings, fit.solver)}
        out[:, torch.from_numpy(at)] = carry(fit.kernel, by[names], part, at)
    return out, by


def _moved(fit: Fit, content: Content, before: Carried, moved: Places) -> Carried:
    """``before`` as if the fitted items at places ``moved`` had always been as ``content`` has them.

    The rows of K that belong to them differ, and with them every column: by solver[:, moved] (K' - K)(moved, items).
    """
    rows, names = fit.rows[moved], tuple(content)
    weights = fit.kernel.heeded(names, fit.settings["weights"])
    was: Any = fit.kernel.read(before.content, rows, weights)
    now: Any = fit.kernel.read(content, rows, weights)
    size = len(before.known)
    step = torch.empty(len(moved), size)
    for start in range(0, size, CHUNK):
        part = np.arange(start, min(start + CHUNK, size))
        side: Any = fit.kernel.read(before.content, part, weights)
        old, new = (fit.kernel.combine(fit.kernel.between(some, side), weights) for some in (was, now))
        step[:, start : start + CHUNK] = new - old
    table = torch.addmm(before.out.whole(), fit.solver[:, torch.from_numpy(moved)], step)
    return replace(before, out=Columns.of(table), by={})


def _present(content: Content, items: Places) -> NDArray[np.bool_]:
    here: NDArray[np.bool_] = np.any([found.present[items] for found in content.values()], axis=0)
    return here
