"""Who and what a mean hides: warm and cold items, head and tail, content present and missing, active and new users."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from palate.core.batch import IntArray, RaggedArray
from palate.data.views import EvaluationQueries
from palate.metrics.beyond import long_tail
from palate.metrics.lists import hits_of

Bools = NDArray[np.bool_]


def item_slices(counts: IntArray, present: Mapping[str, Bools]) -> dict[str, Bools]:
    """Name -> bool [n_items]. The head holds 80 % of training positives; cold items have none."""
    tail = long_tail(counts) if counts.sum() else np.ones(len(counts), bool)
    slices = {"items: warm": counts > 0, "items: cold": counts == 0}
    slices |= {"items: head": ~tail & (counts > 0), "items: tail": tail & (counts > 0)}
    for name, mask in present.items():
        slices |= {f"items: with {name}": mask, f"items: without {name}": ~mask}
    return {name: mask for name, mask in slices.items() if mask.any()}


def user_slices(held: EvaluationQueries) -> dict[str, Bools]:
    """Name -> bool [users]: by length of the known history, cut at the quartiles."""
    lengths = held.users.history.lengths
    low, high = np.quantile(lengths, [0.25, 0.75])
    return {
        f"users: {int(low)} or fewer known": lengths <= low,
        "users: in between": (lengths > low) & (lengths <= high),
        f"users: more than {int(high)} known": lengths > high,
    }


def sliced_recall(ids: IntArray, relevant: RaggedArray, members: Bools) -> tuple[float, int]:
    """Mean over users of hits in the slice / relevant items in the slice, and the number of such users."""
    owners = relevant.owners()
    wanted = np.bincount(owners[members[relevant.items]], minlength=len(relevant))
    hits = (hits_of(ids, relevant) & members[np.maximum(ids, 0)]).sum(axis=1)
    asked = wanted > 0
    return (float((hits[asked] / wanted[asked]).mean()) if asked.any() else float("nan")), int(asked.sum())
