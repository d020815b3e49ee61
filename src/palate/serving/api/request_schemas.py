"""Bodies of requests, as the OpenAPI description shows them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from palate.contracts import ContentKind
from palate.contracts.generator import MEDIA
from palate.serving.database import MAX_ID_LENGTH

MAX_K, MAX_BATCH, MAX_EVENTS = 200, 100, 1000
"""Longest list, most requests or items in a batch, most events in a request."""

CLOCK_SECONDS = 24 * 3600
"""Seconds by which a client's clock may be ahead."""
MAX_USER_LENGTH = 4000
"""Characters of a user id that is only erased: a run may hold longer ones than the service takes."""


def _not_future(seconds: float) -> float:
    if not seconds <= time.time() + CLOCK_SECONDS:
        raise ValueError("lies in the future; give seconds since 1970, not milliseconds")
    return seconds


def _as_text(value: object) -> object:
    """A whole number as the text it is written with: 7 and "7" are one id, "007" is another."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Id = Annotated[
    str, BeforeValidator(_as_text), StringConstraints(min_length=1, max_length=MAX_ID_LENGTH, pattern=r"^[^\x00]+$")
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
UnitInterval = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Timestamp = Annotated[float, Field(ge=0, description="seconds since 1970; now by default"), AfterValidator(_not_future)]
Image = Annotated[str, StringConstraints(min_length=1, max_length=14_000_000)]
Value = Annotated[str, StringConstraints(max_length=20_000)]
Column = Annotated[str, StringConstraints(max_length=200)]
Name = Annotated[str, StringConstraints(max_length=200)]
History = Annotated[list[Id], Field(max_length=500)]

IMAGE = "image file as base64"
MODEL = "name of the model that answers; the run's own by default"
HISTORY = "item ids of an anonymous user, oldest first, instead of user"


class Body(BaseModel):
    """A request body; unknown keys are refused, and a key of an earlier version by naming the one of today.

    Attributes:
        renamed: key of an earlier version -> key of today.
    """

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}

    @model_validator(mode="before")
    @classmethod
    def _refuse_renamed(cls, data: object) -> object:
        keys: frozenset[object] = frozenset(data) if isinstance(data, dict) else frozenset()
        for old, new in cls.renamed.items():
            if old in keys:
                raise PydanticCustomError("renamed", "the key '{old}' was renamed to '{new}'", {"old": old, "new": new})
        return data


Operand = Number | Value
Operands = Annotated[list[Operand], Field(min_length=1, max_length=100)]
DATES = "a number, or a date such as 2020, 2020-03 or 2020-03-31, which is meant as a whole"


class Condition(Body):
    """Parts that hold together in one column; at least one of them."""

    min: Annotated[Operand | None, Field(description=f"lower bound, inclusive: {DATES}")] = None
    max: Annotated[Operand | None, Field(description=f"upper bound, inclusive: {DATES}")] = None
    any: Annotated[Operands | None, Field(description="values of which one is enough, as a list alone")] = None
    all: Annotated[Operands | None, Field(description="values that are all needed")] = None
    not_: Annotated[
        Operand | Operands | Condition | None,
        Field(alias="not", description="what must not hold; alone, items without a value stay"),
    ] = None

    @model_validator(mode="after")
    def _not_empty(self) -> Condition:
        if not self.model_fields_set:
            raise ValueError("give min, max, any, all or not")
        return self


def _form(value: object) -> str:
    """Which form of a filter a value has, so that an error names what is wrong with that form alone."""
    if isinstance(value, dict | Condition):
        return "parts"
    if isinstance(value, list):
        return "values"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else "text"


Filter = Annotated[
    Annotated[Condition, Tag("parts")]
    | Annotated[Number, Tag("number")]
    | Annotated[Operands, Tag("values")]
    | Annotated[Value, Tag("text")],
    Discriminator(_form),
]
Filters = Annotated[dict[Column, Filter], Field(max_length=20)]


class ListBody(Body):
    """Options of every list."""

    k: Annotated[int, Field(ge=1, le=MAX_K, description="length of the list")] = 10
    filters: Annotated[
        Filters,
        Field(
            description="column -> a value, several values (any of them), or parts: min, max, any, all, not",
            examples=[{"category": ["lamp"], "released": {"min": "2020"}, "brand": {"not": "Corvo"}}],
        ),
    ] = {}
    model: Annotated[str | None, Field(max_length=200, description=MODEL)] = None


class RecommendBody(ListBody):
    """A list for a user, for an anonymous user with a history, or for a user of whom nothing is known."""

    renamed = {"liked": "history", "seen": "include_seen", "because": "include_reasons"}

    user: Annotated[Id | None, Field(description="user id; an unknown one gets popular items")] = None
    history: Annotated[History | None, Field(description=HISTORY)] = None
    text: Annotated[Text | None, Field(description="text to search for; with an image, how it should differ")] = None
    image: Annotated[Image | None, Field(description=IMAGE)] = None
    exclude: Annotated[list[Id], Field(max_length=10_000, description="item ids that are not shown")] = []
    include_seen: Annotated[bool, Field(description="show items of the user's history again")] = False
    diversity: Annotated[UnitInterval, Field(description="prefer items that differ from each other")] = 0.0
    novelty: Annotated[UnitInterval, Field(description="prefer less popular items")] = 0.0
    freshness: Annotated[UnitInterval, Field(description="prefer newer items")] = 0.0
    include_reasons: Annotated[
        bool, Field(description="name the items of the history that contributed most to each score")
    ] = False

    @model_validator(mode="after")
    def _one_user(self) -> RecommendBody:
        if self.user is not None and self.history is not None:
            raise ValueError("give user or history, not both")
        return self


class SimilarBody(ListBody):
    """Items similar to an item."""

    item: Annotated[Id, Field(description="item id")]
    user: Annotated[Id | None, Field(description="user whose hidden items are left out")] = None


class SearchBody(ListBody):
    """Items that match a text, an image or an item; a text with an image or an item says how it should differ."""

    renamed = {"like": "similar_to"}

    text: Annotated[Text | None, Field(description="text to search for")] = None
    image: Annotated[Image | None, Field(description=IMAGE)] = None
    similar_to: Annotated[Id | None, Field(description="id of an item to search for")] = None
    user: Annotated[Id | None, Field(description="user whose preferences count as well")] = None

    @model_validator(mode="after")
    def _query(self) -> SearchBody:
        if self.text is None and self.image is None and self.similar_to is None:
            raise ValueError("give text, image or similar_to")
        if self.image is not None and self.similar_to is not None:
            raise ValueError("give image or similar_to, not both")
        return self


class ExplainBody(Body):
    """Explain the score of an item for a user, or for an anonymous user with a history."""

    renamed = {"liked": "history"}

    item: Annotated[Id, Field(description="item id")]
    user: Id | None = None
    history: Annotated[History | None, Field(description=HISTORY)] = None
    model: Annotated[str | None, Field(max_length=200, description=MODEL)] = None

    @model_validator(mode="after")
    def _one_user(self) -> ExplainBody:
        if (self.user is None) == (self.history is None):
            raise ValueError("give either user or history")
        return self


class ItemBody(Body):
    """An item to add or to update; columns that are not named keep their values."""

    id: Annotated[Id, Field(description="item id")]
    fields: Annotated[
        dict[Column, Value | bool | int | Number | list[Value] | None],
        Field(max_length=200, description="column of the catalogue -> value"),
    ] = {}
    image: Annotated[Image | None, Field(description=IMAGE)] = None


class ItemsBody(Body):
    """Items to add or to update, all or none."""

    items: Annotated[list[ItemBody], Field(min_length=1, max_length=MAX_BATCH)]


class EventBody(Body):
    """An interaction of a user with an item."""

    renamed = {"kind": "type", "key": "event_id", "time": "timestamp"}

    user: Annotated[Id, Field(description="user id, also of a user whom the run does not know")]
    item: Annotated[Id, Field(description="item id")]
    type: Annotated[
        Literal["click", "like", "unlike", "hide", "unhide"],
        Field(description="unlike takes back a like or click, unhide shows a hidden item again"),
    ] = "click"
    event_id: Annotated[
        Id | None, Field(description="unique for the user; an event that is sent again with its id is stored once")
    ] = None
    timestamp: Timestamp | None = None


class EventsBody(Body):
    """Events to store, all or none."""

    events: Annotated[list[EventBody], Field(min_length=1, max_length=MAX_EVENTS)]


class EraseBody(Body):
    """A user to erase: any id that a run or the events may hold."""

    user: Annotated[
        str, Field(min_length=1, max_length=MAX_USER_LENGTH, description="user id, exactly as it was stored")
    ]


class RecommendBatchBody(Body):
    """Several lists at once."""

    requests: Annotated[list[RecommendBody], Field(min_length=1, max_length=MAX_BATCH, description="the lists")]


class SimilarBatchBody(Body):
    """Several lists at once."""

    requests: Annotated[list[SimilarBody], Field(min_length=1, max_length=MAX_BATCH, description="the lists")]


def _known_kind(value: object) -> object:
    """Named once where it is wrong, not once for each medium."""
    if isinstance(value, str) and value not in MEDIA:
        raise PydanticCustomError("kind", "no such kind of content; one of {kinds}", {"kinds": ", ".join(MEDIA)})
    return value


Kind = Annotated[ContentKind, BeforeValidator(_known_kind)]


class ContentOptions(Body):
    """For whom content is generated, and how."""

    renamed = {"liked": "history", "wish": "prompt"}

    user: Id | None = None
    history: Annotated[History | None, Field(description=HISTORY)] = None
    prompt: Annotated[Text | None, Field(description="the user's own words")] = None
    generator: Annotated[
        Name | None, Field(description="name of a registered generator; one that needs no model by default")
    ] = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1, description="same seed, same content where the backend can")] = 0
    language: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{2,35}$")] = "en"
    max_words: Annotated[int | None, Field(ge=1, le=1000, description="length of a text, at most")] = None
    format: Annotated[
        Literal["banner", "card", "portrait", "story"] | None, Field(description="shape of a picture or clip")
    ] = None
    choices: Annotated[
        list[Name] | None, Field(max_length=20, description="options that a clarifying question asks for")
    ] = None

    @model_validator(mode="after")
    def _one_user(self) -> Self:
        if self.user is not None and self.history is not None:
            raise ValueError("give user or history, not both")
        return self


class ContentBody(ContentOptions):
    """Content about an item for a user, or for an anonymous user with a history."""

    kind: Kind
    item: Annotated[Id, Field(description="item id")]


class GenerateBody(ContentOptions):
    """One content by ``kind`` and ``item``, or several by ``requests``."""

    kind: Kind | None = None
    item: Annotated[Id | None, Field(description="item id")] = None
    requests: Annotated[
        list[ContentBody] | None, Field(min_length=1, max_length=MAX_BATCH, description="instead of all the others")
    ] = None
    stream: Annotated[bool, Field(description="answer by server-sent events, each content when it is ready")] = False

    @model_validator(mode="after")
    def _one_or_several(self) -> Self:
        given = self.model_fields_set - {"requests", "stream"}
        if self.requests is not None and given:
            raise ValueError(f"give requests or {', '.join(sorted(given))}, not both")
        if self.requests is None and (self.kind is None or self.item is None):
            raise ValueError("give kind and item, or requests")
        return self

    @property
    def all(self) -> list[ContentBody]:
        """The requests, one or several."""
        if self.requests is not None:
            return self.requests
        return [ContentBody(**self.model_dump(exclude_unset=True, exclude={"requests", "stream"}))]
