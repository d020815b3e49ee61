"""What is asked of a service, and what it answers, in the ids of its callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class RecommendRequest:
    """A list that somebody wants.

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
        because: whether each item names the items of the history that carried its score.
        model: name of the model that answers, the run's own by default.
    """

    k: int = 10
    user: str | None = None
    history: Sequence[str] | None = None
    text: str | None = None
    image: bytes | None = None
    similar_to: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    include_seen: bool = False
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0
    because: bool = False
    model: str | None = None

    @property
    def is_search(self) -> bool:
        """Whether something is looked for."""
        return self.text is not None or self.image is not None or self.similar_to is not None


class RecommendedItem(NamedTuple):
    """An item in an answer; ``because``: ids of liked items that carried it."""

    id: str
    title: str
    score: float
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecommendResponse:
    """An answer. run: marks the snapshot that gave it. source: the last stage that had a part in it. timings: (stage,
    seconds, ``ok`` | ``late`` | ``failed``)."""

    items: tuple[RecommendedItem, ...]
    run: str
    source: str
    timings: tuple[tuple[str, float, str], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """Why an item: see :class:`palate.serving.explain.Attribution`; here in ids. text: the same as a sentence."""

    item: str
    title: str
    score: float
    history: tuple[tuple[str, str, float], ...]
    modalities: tuple[tuple[str, float], ...]
    behaviour: float | None
    attributes: tuple[tuple[str, str, tuple[str, ...]], ...]
    text: str
