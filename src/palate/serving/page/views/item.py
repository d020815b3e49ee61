"""An item: its attributes, similar items, and an explanation for the current user."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.background import BackgroundTask
from starlette.responses import Response

from palate.core.errors import FeatureError, PalateError, UnsupportedError
from palate.data.catalog import MEDIA_KINDS
from palate.features.encoders.attribute_values import written_values
from palate.serving.content_similarity import shares_space
from palate.serving.events import Event
from palate.serving.explain import BEHAVIOUR_NAME, MODALITY_NAMES
from palate.serving.images import item_image
from palate.serving.page.cards import Card, card_columns, item_card
from palate.serving.page.cookies import current_user
from palate.serving.page.facets import VALUE
from palate.serving.page.rank_positions import rank_positions
from palate.serving.page.render import render_fragment, render_page, service_of
from palate.serving.page.rows import similar_cards
from palate.serving.page.values import column_label, format_value
from palate.serving.page.views.personal import personal_text
from palate.serving.service import RecommenderService
from palate.serving.snapshot import ModelSnapshot

SIMILAR_ITEMS, HISTORY_ITEMS, MIN_SHARE, SHARED_ITEMS = 12, 6, 0.005, 4
"""Similar items; items of the history in an explanation and their least share; items that share an attribute."""


class Value(NamedTuple):
    """A value of a cell.

    Attributes:
        text: the value as it is written.
        query: parameters of a list of items with this value; None where lists are not filtered by it.
    """

    text: str
    query: dict[str, str] | None = None


@dataclass(frozen=True)
class Attribute:
    """A cell of the item's row.

    Attributes:
        label: label of the column.
        values: its values; a cell whose values are not told apart is one.
    """

    label: str
    values: Sequence[Value]


@dataclass(frozen=True)
class SharedAttribute:
    """An attribute value that the item shares with items of the history.

    Attributes:
        label: label of the column.
        value: the value.
        cards: some of these items.
        more: number of further ones.
    """

    label: str
    value: str
    cards: Sequence[Card]
    more: int


@dataclass(frozen=True)
class ExplanationView:
    """An explanation, as its template shows it.

    Attributes:
        text: the explanation as a sentence, or why there is none.
        hint: what the user can do where there is none.
        history: (card, share) of items of the history.
        parts: (name, share) of modalities and behaviour.
        shared: attribute values in common.
        told: the same in the words of the catalogue.
    """

    text: str
    hint: str = ""
    told: str = ""
    history: Sequence[tuple[Card, float]] = ()
    parts: Sequence[tuple[str, float]] = ()
    shared: Sequence[SharedAttribute] = ()

    @property
    def computed(self) -> bool:
        """Whether there is an explanation."""
        return bool(self.history or self.parts or self.shared)


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/explanation")(explanation)
    router.get("/item/{item:id}")(item_page)
    router.get("/item")(item_page_by_query)


def item_page(request: Request, item: str) -> Response:
    """The page of an item; with ``explain=1`` the explanation is part of it, which takes a moment longer.

    A user who follows a link to it has clicked on the item.

    Args:
        request: the request.
        item: item id.

    Raises:
        UnknownItem: for an unknown item.
    """
    service, user, query = service_of(request), current_user(request), request.query_params
    found = service.find_item(item)
    snapshot, _, row = found
    similar = similar_cards(service, item, SIMILAR_ITEMS, {}, [], user)
    state = service.user_state(snapshot, user, None)
    added = query.get("added") == "1"
    liked = row in state.history and row not in state.clicked
    user_known = user is not None and bool((state.history != row).any())
    response = render_page(
        request,
        "item.html",
        card=replace(item_card(snapshot, row), liked=liked, hidden=row in state.hidden),
        has_image=item_image(snapshot, row) is not None,
        texts=_texts(snapshot, row),
        attributes=_attributes(snapshot, row),
        similar=similar,
        user_known=user_known,
        headline=personal_text(request, "headline", found, state, user) if user is not None and user_known else None,
        history_complete=state.is_complete,
        shared_space=shares_space(snapshot),
        added=added,
        positions=rank_positions(service, item, user, similar) if added else [],
        explanation=_explain(request, item, user) if query.get("explain") == "1" and user is not None else None,
    )
    if user is not None and row not in state.history and row not in state.hidden and _was_opened(request):
        # stored after the page is sent, so that nobody waits for it
        response.background = BackgroundTask(_store_click, service, user, item)
    return response


def _was_opened(request: Request) -> bool:
    """Whether somebody followed a link of this site; not an address that was typed, a prefetch or a page of another."""
    headers = request.headers
    return (
        headers.get("sec-fetch-site") == "same-origin"
        and headers.get("sec-fetch-mode") == "navigate"
        and "prefetch" not in headers.get("sec-purpose", "")
    )


def _store_click(service: RecommenderService, user: str, item: str) -> None:
    # a click is not worth an error
    with suppress(PalateError):
        service.log_events([Event(user, item, "click")])


def item_page_by_query(request: Request) -> Response:
    """The page of an item whose id a path cannot hold, such as ``..``.

    Args:
        request: the request; its parameter ``id`` is the item.

    Raises:
        UnknownItem: for an unknown item.
    """
    return item_page(request, request.query_params.get("id", ""))


def explanation(request: Request) -> Response:
    """The explanation alone, for the page's script.

    Args:
        request: the request.

    Raises:
        UnknownItem: for an unknown item.
    """
    service, user = service_of(request), current_user(request)
    item = request.query_params.get("item", "")
    service.find_item(item)
    return render_fragment("explanation.html", explanation=None if user is None else _explain(request, item, user))


def _explain(request: Request, item: str, user: str) -> ExplanationView:
    service = service_of(request)
    found = service.find_item(item)
    snapshot, state = found.snapshot, service.user_state(found.snapshot, user, None)
    try:
        result = service.explain(item, user=user)
    except (UnsupportedError, FeatureError) as error:
        return ExplanationView(error.message, error.hint or "")
    parts = [(MODALITY_NAMES.get(name, name), share) for name, share in result.modalities]
    if result.behaviour is not None:
        parts.append((BEHAVIOUR_NAME, result.behaviour))
    return ExplanationView(
        result.text,
        history=[
            (card, share)
            for name, _, share in result.history[:HISTORY_ITEMS]
            if share >= MIN_SHARE
            for card in _cards(snapshot, [name])
        ],
        told=personal_text(request, "explanation", found, state, user) or "",
        # where none alone lowers the score, none is to be named
        parts=sorted(parts, key=lambda part: -part[1]) if any(share > 0 for _, share in parts) else (),
        shared=[
            SharedAttribute(
                column_label(column),
                value,
                _cards(snapshot, items[:SHARED_ITEMS]),
                max(len(items) - SHARED_ITEMS, 0),
            )
            for column, value, items in result.attributes
        ],
    )


def _cards(snapshot: ModelSnapshot, items: Sequence[str]) -> list[Card]:
    return [item_card(snapshot, row) for row in map(snapshot.row, items) if row >= 0]


def _texts(snapshot: ModelSnapshot, row: int) -> list[str]:
    """Texts of the item, without its title."""
    columns = snapshot.items.columns("text")
    texts = [format_value(column, snapshot.items.frame[column][row]) for column in columns]
    return [text for text in texts if text and text[:200] != snapshot.stats.titles[row]]


def _attributes(snapshot: ModelSnapshot, row: int) -> list[Attribute]:
    """All other cells of the item's row, without names of files."""
    items, attributes = snapshot.items, list[Attribute]()
    texts, price = items.columns("text"), card_columns(snapshot).price
    for column in items.frame.columns:
        if column in texts or column in (items.id_column, price) or items.kinds.get(column) in MEDIA_KINDS:
            continue
        cell, known = items.frame[column][row], snapshot.stats.filters.values.get(column, {})
        text = format_value(column, cell)
        if text is None:
            continue
        parts = written_values(cell) if known else []
        if parts and all(part.lower() in known for part in parts):
            values = [Value(part, {VALUE + column: part}) for part in parts]
        else:
            values = [Value(text)]
        attributes.append(Attribute(column_label(column), values))
    return [*attributes, Attribute(column_label("id"), [Value(snapshot.ids[row])])]
