"""Quotas and caps: lists by relevance in which values of attributes are at most, or at least, so many.

``rules="genres:drama<=3, provider<=2, genres:comedy>=1"`` holds in the first places: three dramas, two items of each
provider, a comedy. "At most" is never broken: a list ends early where nothing else is left. "At least" is kept where
the candidates can: places are kept free for what is missing (palate.ranking.limits).
"""

from __future__ import annotations

from pydantic import Field, field_validator

from palate.contracts import models
from palate.core.batch import IntArray
from palate.data.catalog import Catalog
from palate.features.item_groups import ItemGroups
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.models.rerank.shared.config import RerankConfig
from palate.models.rerank.shared.limit_rules import check_rules, limits_of, parse_rules
from palate.models.rerank.shared.list_reranker import ListReranker
from palate.ranking.greedy import greedy_lists
from palate.ranking.limits import ByRelevance, LimitedGroups


@models.register("quotas")
class Quotas(ListReranker):
    """Relevant items under limits on the values of attributes."""

    name = "quotas"
    paper = "our own: limits as a constraint of the greedy choice"
    reads_columns = True

    class Config(RerankConfig):
        """Settings."""

        rules: str = Field(
            "", description="limits with commas between them: column<=2 for each value, column:value>=1 for one"
        )
        first: int = Field(10, ge=1, description="places of a list that are limited")

        @field_validator("rules")
        @classmethod
        def _readable(cls, value: str) -> str:
            parse_rules(value)
            return value

    config: Config

    def read_columns(self, items: Catalog) -> None:
        rules = parse_rules(self.config.rules)
        self.groups = {rule.column: ItemGroups.from_catalog(items, rule.column) for rule in rules}
        check_rules(rules, self.groups, self.config.first)

    def choose(self, lists: CandidateLists, k: int) -> IntArray:
        limits = limits_of(parse_rules(self.config.rules), lists)
        constraints = [] if limits is None else [LimitedGroups(limits, min(self.config.first, k))]
        return greedy_lists(ByRelevance(lists.scores), lists.known, k, constraints)
