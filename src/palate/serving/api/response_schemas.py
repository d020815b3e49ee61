"""Bodies of responses, as the OpenAPI description shows them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, JsonValue


class RankedItem(BaseModel):
    """An item of a list."""

    id: str
    title: str
    score: float
    reasons: list[str] = Field(description="ids of the history's items that contributed most, the greatest share first")


class StageTiming(BaseModel):
    """Time and outcome of a stage."""

    stage: str
    ms: float = Field(description="milliseconds")
    outcome: Literal["ok", "late", "failed"]


class RecommendationList(BaseModel):
    """A list, best first."""

    recommendation_id: str = Field(description="opaque and unique; reserved for events that refer to this response")
    items: list[RankedItem]
    run: str = Field(description="fingerprint of the run that answered")
    source: str = Field(description="the last stage that changed the list; cached: the user's last list")
    fallback: Literal["new_user", "unknown_to_model", "late", "failed", "history_unavailable"] | None = Field(
        description="why popular items or the user's last list are shown: nothing is known of the user; the model "
        "takes no history and was fitted without the user; the model was late or failed; the database does not answer"
    )
    timings: list[StageTiming]
    notes: list[str] = Field(description="parts of the request that could not be considered and were left out")


class RecommendationLists(BaseModel):
    """Lists in the order of the requests."""

    responses: list[RecommendationList]


class HistoryShare(BaseModel):
    """An item of the history and its share of the score."""

    id: str
    title: str
    share: float


class ModalityShare(BaseModel):
    """A modality and its share of the score."""

    name: str
    share: float


class SharedAttribute(BaseModel):
    """An attribute value that the item shares with items of the history."""

    column: str
    value: str
    shared_with: list[str]


class ItemExplanation(BaseModel):
    """Contributions to a score; every figure is a difference of two scores of the model."""

    item: str
    title: str
    score: float
    history: list[HistoryShare]
    modalities: list[ModalityShare]
    behaviour: float | None = Field(description="share of other users' interactions with the item")
    attributes: list[SharedAttribute]
    text: str = Field(description="the explanation as a sentence")


class StoredItem(BaseModel):
    """Outcome for one item."""

    id: str
    status: Literal["added", "updated"]


class StoredItems(BaseModel):
    """Outcomes in the order of the items."""

    items: list[StoredItem]


class CatalogItem(BaseModel):
    """An item of the catalogue."""

    id: str
    title: str
    fields: dict[str, JsonValue]
    image_url: str | None = Field(description="path of the item's image")


class StoredEvents(BaseModel):
    """Events that are on disk."""

    stored: int = Field(description="events that were stored now")
    duplicates: int = Field(description="events that had been stored before and were sent again")


class ErasedUser(BaseModel):
    """Number of events that were erased, and whether the run knew the user."""

    events: int
    known: bool
    run_files_erased: bool = Field(
        description="false where the run's files cannot be changed: the user is hidden, and erased from them at the "
        "next start with a run that can be changed"
    )


class EvidenceValue(BaseModel):
    """A value that the content says or shows, and where it stands."""

    source: str = Field(description="item, history, user, catalog or document")
    id: str
    column: str
    value: str


class GeneratedContent(BaseModel):
    """Generated text, image or clip (base64), or several of them."""

    generator: str
    text: str | None
    image: str | None
    video: str | None
    evidence: list[EvidenceValue] = Field(description="what the content says or shows")
    provenance: dict[str, str]
    scores: dict[str, float | None]


class GeneratedContents(BaseModel):
    """Several contents, in the order of the requests."""

    responses: list[GeneratedContent]


class FieldError(BaseModel):
    """An invalid field of a request, or a row of a batch that is wrong."""

    location: str = Field(description="path in the body, such as body.items.0.id; row 1, row 2, ... of a batch")
    message: str


class Problem(BaseModel):
    """An error as problem details (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    hint: str | None = Field(None, description="what the caller can do")
    errors: list[FieldError] = []


class Readiness(BaseModel):
    """The run that answers, the number of items, and what an operator should mend."""

    run: str
    items: int
    warnings: list[str] = Field(description="a run that cannot take over, say, while the former one answers")
