"""Logistic regression (Richardson et al., WWW 2007): a weight for each value of a field and for each counter.

logit = b + sum_f w_f[value] + w . counters. It is linear: what a user thinks of an attribute reaches it by the counters
of (user, value) alone.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from palate.contracts import Capabilities, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.field_ranker import FieldRanker


@models.register("logistic")
class LogisticRegression(FieldRanker):
    """Click-through prediction by a linear model."""

    name = "logistic"
    paper = "Richardson et al., Predicting Clicks: Estimating the Click-Through Rate for New Ads, WWW 2007"
    capabilities = Capabilities(new_items=True, new_users=True)
    embeds = False

    def logits(self, batch: ImpressionBatch) -> Mapping[str, Tensor]:
        return {"label": self.first_order(batch, self.counters_of(batch))}
