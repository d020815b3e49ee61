"""What is asked of a shop, and what it answers, in the ids of its callers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Wish:
    """A list that somebody wants.

    Attributes:
        k: its length. user: an id, also of somebody unknown. liked: item ids instead of a user. text, picture, like:
            words, picture bytes, an item id to look for. filters: column -> values or bounds. exclude: item ids. seen:
            whether what was taken before may be shown again. diversity, novelty, freshness: 0 to 1. because: name the
            liked items that carried each score. model: who answers, the run's own model by default.
    """

    k: int = 10
    user: str | None = None
    liked: Sequence[str] | None = None
    text: str | None = None
    picture: bytes | None = None
    like: str | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    seen: bool = False
    diversity: float = 0.0
    novelty: float = 0.0
    freshness: float = 0.0
    because: bool = False
    model: str | None = None

    @property
    def looks(self) -> bool:
        """Whether something is looked for."""
        return self.text is not None or self.picture is not None or self.like is not None


class Shown(NamedTuple):
    """An item in an answer; ``because``: ids of liked items that carried it."""

    id: str
    title: str
    score: float
    because: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """An answer. run: marks the edition that gave it. said_by: the last stage that had a part in it. steps: (stage,
    seconds, ``ok`` | ``late`` | ``failed``)."""

    items: tuple[Shown, ...]
    run: str
    said_by: str
    steps: tuple[tuple[str, float, str], ...]


@dataclass(frozen=True)
class Reasons:
    """Why an item: see :class:`palate.serving.explain.Evidence`; here in ids. words: the same as a sentence."""

    item: str
    title: str
    score: float
    liked: tuple[tuple[str, str, float], ...]
    modalities: tuple[tuple[str, float], ...]
    behaviour: float | None
    attributes: tuple[tuple[str, str, tuple[str, ...]], ...]
    words: str
