"""Factual support of generated content as a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from palate.contracts import Evidence, Generated
from palate.generation.facts.check import FactChecker
from palate.generation.facts.sheet import is_told, item_key


def history_evidence(history: Sequence[Mapping[str, Any]]) -> list[Evidence]:
    """The columns of items that the user took, as evidence.

    Args:
        history: items with their columns.
    """
    return [
        Evidence("history", item_key(item), column, value)
        for item in history
        for column, value in item.items()
        if is_told(column, value)
    ]


class FactualScorer:
    """Share of supported claims, and of sentences with a claim that is not supported.

    Scores ``factual`` and ``unsupported_sentences``; the facts are the item, the history and the content's evidence.

    Args:
        checker: the check of facts.
    """

    def __init__(self, checker: FactChecker | None = None) -> None:
        self.checker = checker or FactChecker()

    def score(
        self, item: Mapping[str, Any], user: Sequence[Mapping[str, Any]], generated: Generated
    ) -> Mapping[str, float]:
        """Both scores; nan without a text.

        Args:
            item: id and columns of the item.
            user: the user's history.
            generated: what to judge.
        """
        if not generated.text:
            return {"factual": float("nan"), "unsupported_sentences": float("nan")}
        report = self.checker.check(generated.text, item, [*history_evidence(user), *generated.evidence])
        share = len(report.unsupported_sentences) / max(len(report.sentences), 1)
        return {"factual": report.factual, "unsupported_sentences": share}
