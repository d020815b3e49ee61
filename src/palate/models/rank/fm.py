"""FM (Rendle, ICDM 2010): every pair of fields interacts by the inner product of their embeddings.

logit = first order + sum_{i<j} <v_i, v_j>, in O(fields dim). Fields are those of the schema; each modality of content,
and the mean of the history's items, are fields as well. Counters are of first order.
"""

from __future__ import annotations

from torch import Tensor

from palate.contracts import models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker
from palate.modules.interactions import factorised_pairs


@models.register("fm")
class FM(FieldRanker):
    """Click-through prediction by factorised pairs of fields."""

    name = "fm"
    paper = "Rendle, Factorization Machines, ICDM 2010"

    def combine(self, slots: Tensor, counters: Tensor, batch: ImpressionBatch) -> Tensor:
        return factorised_pairs(slots)
