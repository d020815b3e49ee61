"""Bodies of requests and answers, as the OpenAPI description shows them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from palate.serving.database import LONGEST

MOST, BATCH, EVENTS = 200, 100, 1000
"""Items in a list, requests or items in a batch, events at once."""

Id = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST, pattern=r"^[^\x00]+$")]
Words = Annotated[str, StringConstraints(min_length=1, max_length=2000)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Picture = Annotated[str, StringConstraints(min_length=1, max_length=14_000_000)]
Value = Annotated[str, StringConstraints(max_length=20_000)]


class Body(BaseModel):
    """What is sent: unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", strict=False, allow_inf_nan=False)


class Bounds(Body):
    """Bounds of a number, both included; at least one."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _some(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


Filter = Bounds | Annotated[list[Value], Field(min_length=1, max_length=100)] | Value
Filters = Annotated[dict[Annotated[str, StringConstraints(max_length=200)], Filter], Field(max_length=20)]


class Listed(Body):
    """What every list can be told."""

    k: Annotated[int, Field(ge=1, le=MOST, description="length of the list")] = 10
    filters: Annotated[
        Filters,
        Field(description="column -> a value, several values, or bounds", examples=[{"category": ["lamp"]}]),
    ] = {}
    model: Annotated[str | None, Field(max_length=200, description="who answers; the run's own model by default")] = (
        None
    )


class Recommend(Listed):
    """A list for a user, for somebody of whom some likes are known, or for anybody."""

    user: Annotated[Id | None, Field(description="an id; one that is unknown gets what is popular")] = None
    liked: Annotated[list[Id] | None, Field(max_length=500, description="items taken, instead of a user")] = None
    text: Annotated[Words | None, Field(description="words to look for, or to change the picture by")] = None
    image: Annotated[Picture | None, Field(description="picture file as base64")] = None
    exclude: Annotated[list[Id], Field(max_length=10_000)] = []
    seen: Annotated[bool, Field(description="show again what was taken before")] = False
    diversity: Share = 0.0
    novelty: Share = 0.0
    freshness: Share = 0.0
    because: Annotated[bool, Field(description="name the liked items that carried each score")] = False

    @model_validator(mode="after")
    def _one(self) -> Recommend:
        if self.user is not None and self.liked is not None:
            raise ValueError("give user or liked, not both")
        return self


class Similar(Listed):
    """Items like one."""

    item: Id


class Search(Listed):
    """Items that fit words, a picture, or both: words beside a picture or an item change what it shows."""

    text: Words | None = None
    image: Annotated[Picture | None, Field(description="picture file as base64")] = None
    like: Annotated[Id | None, Field(description="an item")] = None
    user: Annotated[Id | None, Field(description="whose taste counts as well")] = None

    @model_validator(mode="after")
    def _something(self) -> Search:
        if self.text is None and self.image is None and self.like is None:
            raise ValueError("give text, image or like")
        if self.image is not None and self.like is not None:
            raise ValueError("give image or like, not both")
        return self


class Explain(Body):
    """Why an item, for a user or for somebody with these likes."""

    item: Id
    user: Id | None = None
    liked: Annotated[list[Id] | None, Field(max_length=500)] = None
    model: Annotated[str | None, Field(max_length=200)] = None

    @model_validator(mode="after")
    def _one(self) -> Explain:
        if (self.user is None) == (self.liked is None):
            raise ValueError("give user or liked")
        return self


class Item(Body):
    """An item to add, or to change: what is not named stays as it is."""

    id: Id
    fields: Annotated[
        dict[Annotated[str, StringConstraints(max_length=200)], Value | bool | int | Number | list[Value] | None],
        Field(max_length=200, description="column of the catalogue -> value"),
    ] = {}
    image: Annotated[Picture | None, Field(description="picture file as base64")] = None


class Items(Body):
    """All or none of them."""

    items: Annotated[list[Item], Field(min_length=1, max_length=BATCH)]


class LoggedEvent(Body):
    """What somebody did."""

    user: Id
    item: Id
    kind: Literal["click", "like", "hide"] = "click"
    key: Annotated[Id | None, Field(description="names the event: sent again, it is not stored again")] = None
    time: Annotated[float | None, Field(ge=0, le=1e11, description="seconds since 1970; now by default")] = None


class Events(Body):
    """All or none of them."""

    events: Annotated[list[LoggedEvent], Field(min_length=1, max_length=EVENTS)]


class ManyRecommend(Body):
    """Several lists at once."""

    requests: Annotated[list[Recommend], Field(min_length=1, max_length=BATCH)]


class ManySimilar(Body):
    """Several lists at once."""

    requests: Annotated[list[Similar], Field(min_length=1, max_length=BATCH)]


class Generate(Body):
    """Content for a person, about an item."""

    kind: Literal["text", "image", "mixed"]
    item: Id
    user: Id | None = None
    liked: Annotated[list[Id] | None, Field(max_length=500)] = None
    wish: Words | None = None
    generator: Annotated[str | None, Field(max_length=200)] = None


class ShownItem(BaseModel):
    """An item of a list."""

    id: str
    title: str
    score: float
    because: list[str] = Field(description="liked items that carried the score, the first the most")


class Step(BaseModel):
    """What a stage took."""

    stage: str
    ms: float
    outcome: Literal["ok", "late", "failed"]


class List(BaseModel):
    """A list, best first."""

    items: list[ShownItem]
    run: str = Field(description="names the run that answered")
    said_by: str = Field(description="the last stage that had a part in it; popular: nothing is known of who asked")
    steps: list[Step]


class RaggedArray(BaseModel):
    """Lists in the order of the requests."""

    answers: list[List]


class LikedShare(BaseModel):
    """A liked item and its share of the score."""

    id: str
    title: str
    share: float


class ModalityShare(BaseModel):
    """A modality and its share of the score."""

    name: str
    share: float


class SharedValue(BaseModel):
    """A value that the item shares with liked ones."""

    column: str
    value: str
    shared_with: list[str]


class Explained(BaseModel):
    """What carried a score; every figure is a difference of two scores of the model."""

    item: str
    title: str
    score: float
    liked: list[LikedShare]
    modalities: list[ModalityShare]
    behaviour: float | None
    attributes: list[SharedValue]
    words: str


class Put(BaseModel):
    """What became of an item."""

    id: str
    status: Literal["added", "updated"]


class Puts(BaseModel):
    """In the order in which they were sent."""

    items: list[Put]


class KnownItem(BaseModel):
    """An item as the catalogue has it."""

    id: str
    title: str
    fields: dict[str, Any]
    picture: str | None = Field(description="where its picture is")


class Stored(BaseModel):
    """How many events are on disk."""

    stored: int


class Forgotten(BaseModel):
    """What was removed: events, and whether the run knew the user."""

    events: int
    known: bool


class Generated(BaseModel):
    """What was made: text, a picture as base64, or both."""

    text: str | None
    image: str | None
    provenance: dict[str, str]
    scores: dict[str, float]


class Fault(BaseModel):
    """One thing that is wrong with what was sent."""

    at: str
    message: str


class Problem(BaseModel):
    """An error in the form of RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Fault] = []


class Ready(BaseModel):
    """Which run answers, and how many items there are."""

    run: str
    items: int
