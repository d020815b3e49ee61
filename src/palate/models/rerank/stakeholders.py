"""Lists for users, providers and advertisers together (the win-win challenge of a recommendation ecosystem).

max w_u U_users + w_p U_providers + w_a U_advertisers under limits and an advertisement load, chosen greedily; utilities
are in palate.ranking.stakeholders. The exposure that a provider had before is its share of the training positives, as a
multiple of an even share: providers that few users found gain most by a place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from palate.contracts import models
from palate.core.batch import IntArray
from palate.core.context import RunContext
from palate.data.catalog import Catalog
from palate.data.views import TrainView
from palate.features.item_groups import ItemGroups, attribute_numbers, only_column
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import RerankConfig
from palate.models.rerank.shared.limit_rules import check_rules, limits_of, parse_rules
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.greedy import Constraint, unit_range
from palate.ranking.limits import AdLoad, LimitedGroups
from palate.ranking.stakeholders import Stakes, Weights, stakeholder_lists


@models.register("stakeholders")
class Stakeholders(ListReranker):
    """Relevance, exposure of providers and value of advertisements in one list."""

    name = "stakeholders"
    paper = "our own: weighted utilities under constraints, after Burke, Multisided Fairness, FATML 2017"
    reads_columns = True

    class Config(RerankConfig):
        """Settings."""

        provider: str = Field("", description="attribute column of providers; empty takes the one that there is")
        bid: str = Field("", description="attribute column of bids, 0 for what is no advertisement; empty: none")
        users: float = Field(1.0, ge=0, description="weight of relevance")
        providers: float = Field(0.3, ge=0, description="weight of exposure", json_schema_extra={"search": "0.0..1.0"})
        advertisers: float = Field(0.3, ge=0, description="weight of the expected value of bids")
        rules: str = Field(
            "",
            description="exposure, commas between rules: column<=2 for each value, column:value>=1 for one",
        )
        first: int = Field(10, ge=1, description="places that rules and max_ads are about")
        max_ads: int = Field(2, ge=0, description="advertisements in the first places")
        ad_start: int = Field(0, ge=0, description="places at the top that hold no advertisement")
        ad_gap: int = Field(1, ge=0, description="other items between two advertisements")

        @field_validator("rules")
        @classmethod
        def _readable(cls, value: str) -> str:
            parse_rules(value)
            return value

    config: Config
    bids: NDArray[np.float32]

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        groups = self.groups[self.provider]
        counts = (groups.shares[:-1] * train.popularity[:, None]).sum(0)
        counts = counts * len(groups) / max(float(counts.sum()), 1e-12)
        self.exposure = dict(zip(groups.names, counts.tolist()))

    def read_columns(self, items: Catalog) -> None:
        c = self.config
        self.provider = only_column(items, c.provider, "provider")
        rules = parse_rules(c.rules)
        columns = dict.fromkeys([self.provider, *(rule.column for rule in rules)])
        self.groups = {column: ItemGroups.from_catalog(items, column) for column in columns}
        check_rules(rules, self.groups, c.first)
        bids = attribute_numbers(items, c.bid) if c.bid else np.zeros(len(items), np.float32)
        # one more for items that the catalogue does not hold yet
        self.bids = np.append(np.maximum(bids, 0) / max(float(bids.max(initial=0)), 1e-12), np.float32(0))

    def extra_state(self) -> dict[str, Any]:
        return {**super().extra_state(), "exposure": self.exposure}

    def load_extra_state(self, state: Mapping[str, Any]) -> None:
        super().load_extra_state(state)
        self.exposure = dict(state["exposure"])

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        c, groups = self.config, lists.groups[self.provider]
        exposure = np.array([self.exposure.get(name, 0.0) for name in groups.names])
        bids = self.bids[np.minimum(lists.ids, len(self.bids) - 1)]
        stakes = Stakes(unit_range(lists.scores, lists.known), bids, groups.of(lists.ids), exposure)
        limits = limits_of(parse_rules(c.rules), lists)
        constraints: list[Constraint] = [AdLoad(bids > 0, c.max_ads, c.first, c.ad_start, c.ad_gap)]
        if limits is not None:
            constraints.append(LimitedGroups(limits, min(c.first, k)))
        return stakeholder_lists(stakes, Weights(c.users, c.providers, c.advertisers), k, lists.known, constraints)
