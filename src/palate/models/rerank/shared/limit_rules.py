"""Limits in words: ``genres:drama<=3, provider<=2, genres:comedy>=1``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from palate.core.errors import ConfigError
from palate.features.item_groups import ItemGroups
from palate.models.rerank.shared.candidate_lists import CandidateLists
from palate.ranking.limits import UNLIMITED, GroupLimits

_RULE = re.compile(r"\s*(?P<column>[^:<>]+?)\s*(?::\s*(?P<value>[^<>]+?)\s*)?(?P<sign><=|>=)\s*(?P<count>\d+)\s*")


@dataclass(frozen=True)
class LimitRule:
    """One limit.

    Attributes:
        column: attribute column.
        value: of the column, in lower case; None for each of its values.
        at_most: whether ``count`` is the largest number of items, not the smallest.
        count: number of items in the first places.
    """

    column: str
    value: str | None
    at_most: bool
    count: int


def parse_rules(text: str) -> list[LimitRule]:
    """Read limits.

    Args:
        text: rules with commas between them: ``column<=n`` for each value of a column, ``column:value<=n`` or
            ``column:value>=n`` for one.

    Raises:
        ConfigError: for a rule of another form.
    """
    rules = []
    for part in filter(str.strip, text.split(",")):
        found = _RULE.fullmatch(part)
        if found is None or (found["value"] is None and found["sign"] == ">="):
            raise ConfigError(
                "this is no limit",
                key=part.strip(),
                hint="write column<=2 for each value of a column, column:value<=2 or column:value>=2 for one value",
            )
        value = found["value"] and found["value"].lower()
        rules.append(LimitRule(found["column"], value, found["sign"] == "<=", int(found["count"])))
    return rules


def check_rules(rules: Sequence[LimitRule], groups: Mapping[str, ItemGroups], first: int) -> None:
    """Check that limits speak of what there is, and can be kept.

    Args:
        rules: the limits.
        groups: column -> values of items.
        first: number of places that are limited.

    Raises:
        ConfigError: for a value that no item has, or more items than there are places.
    """
    for rule in rules:
        if rule.value is not None:
            groups[rule.column].group(rule.value)
        if not rule.at_most and rule.count > first:
            raise ConfigError(
                f"{rule.count} items in the first {first} places", key=f"{rule.column}:{rule.value}", hint="raise first"
            )


def limits_of(rules: Sequence[LimitRule], lists: CandidateLists) -> GroupLimits | None:
    """Limits of candidates; of two that say the same of a value, the last.

    Args:
        rules: the limits.
        lists: candidates.

    Returns:
        None without rules.
    """
    parts = []
    for column in dict.fromkeys(rule.column for rule in rules):
        groups = lists.groups[column]
        at_most, at_least = np.full(len(groups), UNLIMITED), np.zeros(len(groups), np.int64)
        for rule in rules:
            if rule.column == column:
                place = slice(None) if rule.value is None else groups.group(rule.value)
                (at_most if rule.at_most else at_least)[place] = rule.count
        parts.append(GroupLimits(groups.of(lists.ids), at_most, at_least))
    return GroupLimits.joined(parts) if parts else None
