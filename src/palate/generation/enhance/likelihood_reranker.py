"""A short list in the order in which a language model finds its items likely after the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from palate.contracts import Prompt
from palate.core.errors import ConfigError
from palate.generation.decoding.commands import without_commands
from palate.generation.flows.item_values import attributes, listed, title_column, title_of

UNTITLED = "untitled"
"""Stands for a title that is nothing but a command."""
RECENT = 10
"""Items of the history that are shown, the latest."""


class LikelihoodBackend(Protocol):
    """A language model that tells log-likelihoods and counts tokens."""

    def log_likelihood(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Natural logarithm of the probability of each answer after its prompt.

        Args:
            prompts: what was asked.
            answers: one a prompt.
        """
        ...

    def count(self, text: str) -> int:
        """Tokens of a text.

        Args:
            text: any text.
        """
        ...


@dataclass(frozen=True)
class LikelihoodReranker:
    """Scores of a short list by a language model, mixed with those of the recommender.

    pointwise: log P(yes | history, item) - log P(no | history, item).
    listwise: log P(title | history, all titles of the list) / tokens of the title, minus the same after an empty
    history, so that titles that are likely anywhere do not win.

    Attributes:
        backend: the language model.
        mode: ``pointwise`` or ``listwise``.
        weight: of the language model against the recommender; 1 is the language model alone.

    Raises:
        ConfigError: for a weight out of 0..1 or an unknown mode.
    """

    backend: LikelihoodBackend
    mode: Literal["pointwise", "listwise"] = "pointwise"
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.mode not in ("pointwise", "listwise"):
            raise ConfigError("pointwise or listwise", key=self.mode)
        if not 0.0 <= self.weight <= 1.0:
            raise ConfigError(f"0 to 1, not {self.weight}", key="weight")

    def scores(self, items: Sequence[Mapping[str, Any]], history: Sequence[Mapping[str, Any]]) -> NDArray[np.float64]:
        """What the language model says of each item.

        Args:
            items: id and columns of the candidates.
            history: the same of what the user took, oldest first.
        """
        if not items:
            return np.zeros(0)
        past = "; ".join(shown(item) for item in history[-RECENT:]) or "nothing yet"
        if self.mode == "pointwise":
            task = "Say whether this user will like the item. Answer yes or no."
            asked = [Prompt(task, {"user liked": past, "item": shown(item)}) for item in items]
            # one by one, so that what is before the answer is read once, and the history once for all
            pairs = [self.backend.log_likelihood([one, one], ["yes", "no"]) for one in asked]
            return np.array([yes - no for yes, no in pairs])
        titles = [_title(item) for item in items]
        task = "Name the item of the list that the user will like next."
        listing = "; ".join(shown(item) for item in items)
        after, before = (Prompt(task, {"user liked": said, "list": listing}) for said in (past, "nothing yet"))
        logs = self.backend.log_likelihood([after] * len(titles) + [before] * len(titles), [*titles, *titles])
        tokens = np.array([max(1, self.backend.count(title)) for title in titles], np.float64)
        return np.subtract(logs[: len(titles)], logs[len(titles) :]) / tokens

    def order(
        self,
        items: Sequence[Mapping[str, Any]],
        history: Sequence[Mapping[str, Any]],
        scores: NDArray[np.floating] | None = None,
    ) -> NDArray[np.int64]:
        """The new order of a list.

        Args:
            items: id and columns of the candidates, as the recommender ordered them.
            history: what the user took, oldest first.
            scores: [items] of the recommender; by rank where not given.

        Returns:
            int64 [items], rows of ``items``, the best first; ties stay in the recommender's order.
        """
        own = -np.arange(len(items), dtype=np.float64) if scores is None else np.asarray(scores, np.float64)
        return mixed_order(self.scores(items, history), own, self.weight)


def mixed_order(said: NDArray[np.floating], own: NDArray[np.floating], weight: float) -> NDArray[np.int64]:
    """The order of a list by two standardised scores; ties stay in the order of the list.

    Args:
        said: [items], of the language model.
        own: [items], of the recommender.
        weight: of the language model.

    Returns:
        int64 [items], places in the list, the best first.
    """
    mixed = weight * _standard(np.asarray(said, np.float64)) + (1.0 - weight) * _standard(np.asarray(own, np.float64))
    return np.argsort(-mixed, kind="stable")


def shown(item: Mapping[str, Any]) -> str:
    """An item as it is shown to a language model: its title and values, each up to its first command.

    What one item says is cut here, before it stands in one text with others.

    Args:
        item: id and columns.
    """
    values = [value for found in attributes(item).values() for value in found if value == without_commands(value)][:6]
    return f"{_title(item)} ({listed(values)})" if values else _title(item)


def _title(item: Mapping[str, Any]) -> str:
    column = title_column(item)
    title = title_of(item) if column is None else without_commands(str(item[column]))
    return " ".join(without_commands(title).split()) or UNTITLED


def _standard(values: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = float(values.std()) if len(values) else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))
