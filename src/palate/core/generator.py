"""The contract of what writes or draws for a person: found by registration, served as soon as there is one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from .registry import Registry


@dataclass(frozen=True)
class Request:
    """What is to be made.

    Attributes:
        kind: ``text``, ``picture`` or ``mixed``. item: id and columns of what it is about. liked: the same of what the
            person took, oldest first. wish: words of the person's own.
    """

    kind: str
    item: Mapping[str, Any]
    liked: Sequence[Mapping[str, Any]] = ()
    wish: str | None = None


@dataclass(frozen=True)
class Content:
    """What was made. picture: JPEG or PNG bytes. provenance: what made it, from what. scores: by name."""

    text: str | None = None
    picture: bytes | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


class Generator(ABC):
    """Personalised content.

    Attributes:
        name: as registered. kinds: which it can make.
    """

    name: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]]

    @abstractmethod
    def generate(self, request: Request) -> Content:
        """Make it; whatever it says of the item must be in ``request``."""


generators: Registry[type[Generator]] = Registry("generator", ())
