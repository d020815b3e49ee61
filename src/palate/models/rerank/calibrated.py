"""Calibrated lists (Steck, RecSys 2018): genres of a list in the proportions of what the user took.

max (1 - strength) sum of relevance - strength KL(genres of the history, genres of the list), chosen greedily; formulas
and our choices are in palate.ranking.calibration. Any attribute column takes the place of genres.
"""

from __future__ import annotations

import numpy as np
import torch
from pydantic import Field

from palate.contracts import models
from palate.core.batch import IntArray
from palate.core.errors import ConfigError
from palate.data.catalog import Catalog
from palate.features.item_groups import ItemGroups, only_column
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import RerankConfig
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.calibration import calibrated_lists
from palate.ranking.scorer import mean_of

MAX_GROUPS = 1000
"""Values of a column: the distribution of each candidate is held."""


@models.register("calibrated")
class Calibrated(ListReranker):
    """Lists whose genres are mixed as in the user's history."""

    name = "calibrated"
    paper = "Steck, Calibrated Recommendations, RecSys 2018"
    reads_columns = True

    class Config(RerankConfig):
        """Settings."""

        column: str = Field("", description="attribute column, such as genres; empty takes the one that there is")
        strength: float = Field(
            0.5,
            ge=0,
            le=1,
            description="from 0 (by relevance) to 1 (by calibration)",
            json_schema_extra={"search": "0.0..0.9"},
        )

    config: Config

    def read_columns(self, items: Catalog) -> None:
        column = only_column(items, self.config.column, "column")
        groups = ItemGroups.from_catalog(items, column)
        if len(groups) > MAX_GROUPS:
            raise ConfigError(
                f"{len(groups)} different values, {MAX_GROUPS} at most can be calibrated",
                key=column,
                hint="name a column of genres or topics",
            )
        self.groups = {column: groups}

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        (groups,) = lists.groups.values()
        wanted = np.zeros((len(lists.ids), len(groups)), np.float32)
        if lists.users is not None:
            wanted = mean_of(torch.from_numpy(groups.shares), lists.users.history).numpy()
            total = wanted.sum(1, keepdims=True)
            wanted = np.divide(wanted, total, out=np.zeros_like(wanted), where=total > 0)
        shares = groups.shares_of(lists.ids)
        return calibrated_lists(lists.scores, shares, wanted, k, self.config.strength, lists.known)
