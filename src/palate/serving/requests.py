"""Requests to the service and its responses, in the ids of its callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from palate.serving.filters import FilterValue
from palate.serving.stages.pipeline import CACHED, Fallback, Timing


@dataclass(frozen=True)
class RecommendRequest:
    """A request for a list of items.

    Attributes:
        k: length of the list.
        user: user id; an unknown one gets popular items.
        history: item ids of an anonymous user, instead of ``user``; oldest first.
        text: text to search for.
        image: bytes of an image to search for.
        similar_to: id of an item to search for.
        filters: column -> values or bounds.
        exclude: ids of items that must not be shown.
        include_seen: whether items of the user's history may be shown again.
        diversity: strength of the diversity slider, 0 to 1.
        novelty: strength of the novelty slider, 0 to 1.
        freshness: strength of the freshness slider, 0 to 1.
        include_reasons: whether each item names the items of the history that carried its score.
        model: name of the model that answers, the run's own by default.
        hidden_for: user whose hidden items are left out, where the list is not made for ``user``.
    """

    k: int = 10
    user: str | None = None
    history: Sequence[str] | None = None
    text: str | None = None
    image: bytes | None = None
    similar_to: str | None = None
    filters: Mapping[str, FilterValue] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    include_seen: bool = False
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0
    include_reasons: bool = False
    model: str | None = None
    hidden_for: str | None = None

    @property
    def is_search(self) -> bool:
        """Whether there is a text, an image or an item to search for."""
        return self.text is not None or self.image is not None or self.similar_to is not None

    @property
    def items(self) -> list[str]:
        """Ids of the items that the request starts from."""
        return [*(self.history or ()), *(() if self.similar_to is None else (self.similar_to,))]


class RecommendedItem(NamedTuple):
    """An item of a list.

    Attributes:
        id: item id.
        title: title for people.
        score: score of the last stage that scored.
        reasons: ids of the items of the history that carried the score, the greatest share first.
    """

    id: str
    title: str
    score: float
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecommendResponse:
    """The answer to a request.

    Attributes:
        items: the list, best first.
        run: fingerprint of the run that answered.
        source: name of the stage whose list it is; ``cached`` for the user's last list.
        timings: stages in order, with their time and outcome.
        notes: parts of the request that could not be answered and that were left out.
        fallback: why the list is not the model's own for this user; None where it is.
    """

    items: tuple[RecommendedItem, ...]
    run: str
    source: str
    timings: tuple[Timing, ...]
    notes: tuple[str, ...] = ()
    fallback: Fallback | None = None

    @property
    def is_personal(self) -> bool:
        """Whether the list is made for the user, now or a short time ago."""
        return self.fallback is None or self.source == CACHED


class HistoryShare(NamedTuple):
    """An item of the history and its share of a score.

    Attributes:
        item: item id.
        title: title for people.
        share: share, 0 to 1.
    """

    item: str
    title: str
    share: float


class SharedValue(NamedTuple):
    """An attribute that an item has in common with items of the history.

    Attributes:
        column: column of the attribute.
        value: the value in common.
        items: ids of the items of the history that share it.
    """

    column: str
    value: str
    items: tuple[str, ...]


@dataclass(frozen=True)
class Explanation:
    """Why an item is recommended: :class:`palate.serving.explain.Attribution` in ids.

    Attributes:
        item: item id.
        title: title for people.
        score: score of the item.
        history: items of the history that carried the score, the greatest share first.
        modalities: (modality, share), the greatest first.
        behaviour: share of interactions of other users; None where it cannot be told apart.
        attributes: values in common with items of the history.
        text: the explanation as a sentence.
    """

    item: str
    title: str
    score: float
    history: tuple[HistoryShare, ...]
    modalities: tuple[tuple[str, float], ...]
    behaviour: float | None
    attributes: tuple[SharedValue, ...]
    text: str
