"""The contract of personalised content: text, a picture or both for one user and one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from palate.contracts.model import Model
from palate.core.errors import UnsupportedError
from palate.core.registry import Registry

ContentKind = Literal["text", "image", "mixed"]


@dataclass(frozen=True)
class GenerationRequest:
    """What is to be generated.

    Attributes:
        kind: ``text``, ``image`` or ``mixed``.
        item: id and columns of the item it is about.
        history: the same of items the user took, oldest first.
        prompt: the user's own words.
    """

    kind: ContentKind
    item: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    prompt: str | None = None


@dataclass(frozen=True)
class Generated:
    """What was generated.

    Attributes:
        text: plain text, or None.
        image: JPEG or PNG bytes, or None.
        provenance: what made it from what: model, version, backend, seed, inputs.
        scores: name -> value of each content scorer.
    """

    text: str | None = None
    image: bytes | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class TextBackend(Protocol):
    """A language model, local or behind an API."""

    def complete(self, prompts: Sequence[str], *, max_tokens: int, seed: int) -> list[str]:
        """One completion a prompt, in order.

        Args:
            prompts: complete prompts.
            max_tokens: of each completion.
            seed: same seed, same completions where the backend can.
        """
        ...


@runtime_checkable
class ImageBackend(Protocol):
    """A model that draws."""

    def draw(self, prompts: Sequence[str], images: Sequence[bytes | None], *, seed: int) -> list[bytes]:
        """One encoded picture a prompt, in order.

        Args:
            prompts: what to draw.
            images: pictures to start from, None for none; as many as ``prompts``.
            seed: same seed, same pictures where the backend can.
        """
        ...


@runtime_checkable
class ContentScorer(Protocol):
    """A judge of generated content, such as faithfulness to the item or safety."""

    def score(
        self, item: Mapping[str, Any], user: Sequence[Mapping[str, Any]], generated: Generated
    ) -> Mapping[str, float]:
        """Scores by name.

        Args:
            item: id and columns of the item.
            user: the user's history.
            generated: what to judge.
        """
        ...


class Generator(Model):
    """A system that generates personalised content; batched and seeded, made once and used for every request.

    Attributes:
        kinds: what it can generate.
    """

    task_name: ClassVar[str] = "generate"
    stage: ClassVar[str] = "generate"
    kinds: ClassVar[tuple[ContentKind, ...]] = ()

    def scorers(self) -> Sequence[ContentScorer]:
        """Judges of what it generates; none by default."""
        return ()

    def condition(self, requests: Sequence[GenerationRequest]) -> Sequence[Any]:
        """What each request conditions generation on: persona, history, item, and what may be said of it.

        Args:
            requests: a batch.

        Returns:
            One condition a request; the default is the request itself.
        """
        return list(requests)

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        """Generate content for a batch; whatever it says of an item must be in its request.

        Args:
            requests: a batch.
            seed: same seed, same content where the backend can.

        Raises:
            UnsupportedError: for a kind that is not among ``kinds``.
        """
        raise UnsupportedError(f"{self.name} does not generate")


generators: Registry[type[Generator]] = Registry("generator", ("palate.models.generate",), "palate.generators")
