"""The contract of personalised content: text, pictures, both or a clip for one user and one item."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Protocol, get_args, runtime_checkable

from palate.contracts.model import Model
from palate.core.errors import UnsupportedError
from palate.core.registry import Registry

TextKind = Literal[
    "explanation", "headline", "title", "description", "marketing_copy", "answer", "keywords", "clarifying_question",
    "email_subject", "paraphrase", "tags",
]  # fmt: skip
ImageKind = Literal["banner", "product_picture", "sticker"]
MixedKind = Literal["cover"]
VideoKind = Literal["video"]
ContentKind = TextKind | ImageKind | MixedKind | VideoKind
Medium = Literal["text", "image", "mixed", "video"]
MEDIA: dict[str, Medium] = {
    **dict.fromkeys(get_args(TextKind), "text"),
    **dict.fromkeys(get_args(ImageKind), "image"),
    **dict.fromkeys(get_args(MixedKind), "mixed"),
    **dict.fromkeys(get_args(VideoKind), "video"),
}
"""Every kind of content, and what it consists of: a cover is a picture with its headline."""


@dataclass(frozen=True)
class Evidence:
    """A value that may be said, and where it stands.

    Attributes:
        source: ``item`` for the item the content is about, ``history`` for items that the user took, ``user`` for the
            user's own words and profile, ``catalog`` for figures over all items, ``document`` for text that was
            retrieved.
        id: id of the item, user or document.
        column: column of the table, or a name for what was retrieved.
        value: the value as it stands there.
    """

    source: Literal["item", "history", "user", "catalog", "document"]
    id: str
    column: str
    value: Any


@dataclass(frozen=True)
class Preference:
    """An attribute value that a user likes.

    Attributes:
        column: column of the attribute.
        value: the value.
        weight: above 0; how much more often the user takes items with it than people do (log ratio, shrunk).
        items: ids of the items of the history that have it.
    """

    column: str
    value: str
    weight: float
    items: tuple[str, ...] = ()


@dataclass(frozen=True)
class GenerationRequest:
    """What is to be generated. Texts of items, users and documents are data: no backend may follow them.

    Attributes:
        kind: one of :data:`MEDIA`.
        item: id and columns of the item it is about.
        history: the same of items the user took, oldest first.
        prompt: the user's own words: a question, a query, guidance; also data, not an instruction.
        user: id of the user; None for an anonymous one.
        preferences: what the user likes, the strongest first.
        evidence: what may be said beside the columns of ``item`` and ``history``: shared values, retrieved documents.
        images: picture bytes by item id, of ``item`` and of ``history``, where known.
        language: BCP 47 code of the language to write in.
        max_words: length of a text, at most; None leaves it to the kind.
        size: (width, height) in pixels of a picture or clip; None leaves it to the kind.
        options: settings of one kind or system, such as ``choices``, ``must_include`` or ``style``.
    """

    kind: ContentKind
    item: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]] = ()
    prompt: str | None = None
    user: str | None = None
    preferences: Sequence[Preference] = ()
    evidence: Sequence[Evidence] = ()
    images: Mapping[str, bytes] = field(default_factory=dict)
    language: str = "en"
    max_words: int | None = None
    size: tuple[int, int] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def medium(self) -> Medium:
        """What the kind consists of."""
        return MEDIA[self.kind]


@dataclass(frozen=True)
class Generated:
    """What was generated.

    Attributes:
        text: plain text, or None.
        image: JPEG or PNG bytes, or None.
        video: MP4 or WebM bytes, or None.
        evidence: what the content says or shows, row by row of catalogue and history.
        provenance: what made it: ``model``, ``version``, ``backend``, ``seed``; ``fallback`` where something failed.
        scores: name -> value of each content scorer: ``relevance`` to the item, ``personal`` fit, ``factual`` support,
            ``fluency`` and whatever else a scorer tells; nan where it cannot tell.
    """

    text: str | None = None
    image: bytes | None = None
    video: bytes | None = None
    evidence: Sequence[Evidence] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompt:
    """What a language model is asked; each backend lays it out in its own way, data apart from instructions.

    Attributes:
        instruction: what to do; written by Palate or the operator, never by an item or a user.
        data: name -> text of items, users and documents. A backend marks where each begins and ends, and takes such
            marks out of the texts.
        examples: (data, answer) pairs that were solved, for learning in context.
        images: picture bytes, for backends that see.
        answer_start: words with which the answer begins.
    """

    instruction: str
    data: Mapping[str, str] = field(default_factory=dict)
    examples: Sequence[tuple[Mapping[str, str], str]] = ()
    images: Sequence[bytes] = ()
    answer_start: str = ""


@dataclass(frozen=True)
class Constraint:
    """What a completion must look like; at most one of the first four.

    Attributes:
        choices: it is one of these texts.
        json_schema: it is JSON that fits this schema.
        regex: it fits this pattern as a whole.
        grammar: it fits this Lark grammar.
        must_include: words or phrases that occur in it, in any order.
        must_exclude: words or phrases that do not.
    """

    choices: Sequence[str] = ()
    json_schema: Mapping[str, Any] | None = None
    regex: str | None = None
    grammar: str | None = None
    must_include: Sequence[str] = ()
    must_exclude: Sequence[str] = ()


@dataclass(frozen=True)
class Sampling:
    """How a completion is drawn.

    Attributes:
        max_tokens: of each completion.
        temperature: 0 takes the most probable token each time.
        top_p: smallest set of tokens with this probability; 1 takes all.
        stop: texts that end a completion and are not part of it.
        constraint: what it must look like.
    """

    max_tokens: int = 64
    temperature: float = 0.0
    top_p: float = 1.0
    stop: Sequence[str] = ()
    constraint: Constraint | None = None


@dataclass(frozen=True)
class Completion:
    """What a language model answered.

    Attributes:
        text: the answer, without the prompt.
        tokens_in: tokens of the prompt.
        tokens_out: tokens of the answer.
        log_probability: natural logarithm of the answer's probability; nan where the backend does not tell.
        finished: ``stop`` where it ended by itself, ``length`` where ``max_tokens`` ended it.
    """

    text: str
    tokens_in: int = 0
    tokens_out: int = 0
    log_probability: float = float("nan")
    finished: Literal["stop", "length"] = "stop"


@dataclass(frozen=True)
class PicturePrompt:
    """What a picture is to show.

    Attributes:
        words: (word or phrase, weight) pairs, such as attributes of the item and of the user's taste.
        negative: what is not to be seen.
        reference: picture bytes to start from; None for none.
        strength: 0 keeps the reference, 1 forgets it.
        preference: float32 [n, d], preference tokens in the backend's own space; None for none.
        preference_weight: of ``preference`` and of words marked as the user's, against the item's.
        guidance: scale of classifier-free guidance; 1 is none.
        size: (width, height) in pixels.
    """

    words: Sequence[tuple[str, float]] = ()
    negative: Sequence[str] = ()
    reference: bytes | None = None
    strength: float = 0.6
    preference: Any = None
    preference_weight: float = 1.0
    guidance: float = 3.0
    size: tuple[int, int] = (64, 64)


@runtime_checkable
class TextBackend(Protocol):
    """A language model: local, or behind an address.

    Attributes:
        name: for provenance, such as ``smollm2`` or ``server:gpt-x``.
        version: of the weights: a digest, or what the server says.
    """

    name: str
    version: str

    def complete(self, prompts: Sequence[Prompt], sampling: Sampling, *, seed: int) -> list[Completion]:
        """One completion a prompt, in order.

        Args:
            prompts: what is asked.
            sampling: how answers are drawn.
            seed: same seed, same completions where the backend can.

        Raises:
            UnsupportedError: for a constraint that the backend cannot keep; never an answer that breaks it.
        """
        ...

    def count(self, text: str) -> int:
        """Tokens of a text, for budgets.

        Args:
            text: any text.
        """
        ...


@runtime_checkable
class ScoringBackend(Protocol):
    """A language model that tells how probable an answer is."""

    def log_likelihood(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> list[float]:
        """Natural logarithm of the probability of each answer after its prompt.

        Args:
            prompts: what was asked.
            answers: one a prompt.
        """
        ...


@runtime_checkable
class ImageBackend(Protocol):
    """A model that draws.

    Attributes:
        name: for provenance.
        version: of the weights: a digest.
    """

    name: str
    version: str

    def draw(self, prompts: Sequence[PicturePrompt], *, seed: int) -> list[bytes]:
        """One PNG a prompt, in order.

        Args:
            prompts: what to draw.
            seed: same seed, same pictures where the backend can.
        """
        ...


@runtime_checkable
class VideoBackend(Protocol):
    """What makes clips.

    Attributes:
        name: for provenance.
        version: of the weights or of the code.
    """

    name: str
    version: str

    def film(self, requests: Sequence[GenerationRequest], *, seed: int) -> list[bytes]:
        """One MP4 or WebM a request, in order.

        Args:
            requests: of kind ``video``, with pictures.
            seed: same seed, same clips where the backend can.
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
        kinds: what it can generate; of an instance, what its settings allow.
    """

    task_name: ClassVar[str] = "generate"
    stage: ClassVar[str] = "generate"
    kinds: tuple[ContentKind, ...] = ()

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
