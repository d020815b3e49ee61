"""Search by a text, an image, an item, or by one of these and a text that says how it should differ."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.errors import FeatureError, PalateError, UnsupportedError
from palate.serving.availability import SearchUnavailable
from palate.serving.content_similarity import REMEDY, shares_space
from palate.serving.images import decode_base64, sanitize_image
from palate.serving.page.cards import Card, item_card, item_cards
from palate.serving.page.cookies import current_user
from palate.serving.page.facets import catalog_facets, parse_filters
from palate.serving.page.form import Form
from palate.serving.page.render import render_page, service_of
from palate.serving.requests import RecommendRequest
from palate.serving.service import RecommenderService

MAX_RESULTS, EXAMPLES, IMAGE_SIDE, MAX_TEXT = 24, 12, 320, 500
"""Results, items to start from, longest side of an image in pixels, characters of a text."""


@dataclass(frozen=True)
class SearchState:
    """A query and its results.

    Attributes:
        text: text to search for.
        image: image as base64, so that the page can show it and send it again.
        similar_to: item to search for.
        personalized: whether the user's preferences count.
        results: items that match, the best first.
        notes: parts of the request that were left out.
        error: why the search failed.
        hint: what the user can do.
        status: HTTP status of the page.
    """

    text: str = ""
    image: str | None = None
    similar_to: Card | None = None
    personalized: bool = False
    results: tuple[Card, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    status: int = 200

    @property
    def has_query(self) -> bool:
        """Whether there is anything to search for."""
        return bool(self.text or self.image or self.similar_to)


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/search")(search)
    router.post("/search")(search_by_image)


def search(request: Request) -> Response:
    """Search by a text, an item, or an item and a text.

    Args:
        request: the request.

    Raises:
        UnknownItem: for an unknown item.
    """
    query, service = request.query_params, service_of(request)
    similar_to = None
    if item := query.get("similar_to"):
        snapshot, _, row = service.find_item(item)
        similar_to = item_card(snapshot, row)
    state = SearchState(query.get("q", "").strip()[:MAX_TEXT], None, similar_to, query.get("personalized") == "1")
    return _render(request, service, state)


def search_by_image(request: Request, form: Form) -> Response:
    """Search by an uploaded image, alone or with a text; the image is decoded and written again first.

    Args:
        request: the request.
        form: the image, or ``image_data`` of an earlier search; ``q`` and ``personalized``.
    """
    service = service_of(request)
    state = SearchState((form.get("q") or "")[:MAX_TEXT], personalized=form.get("personalized") == "1")
    earlier = form.get("image_data")
    try:
        data = form.image or (decode_base64(earlier) if earlier else None)
        image = None if data is None else base64.b64encode(sanitize_image(data, IMAGE_SIDE)).decode()
    except FeatureError as error:
        return _render(request, service, replace(state, error=error.message, hint=error.hint or "", status=422))
    return _render(request, service, replace(state, image=image))


def _render(request: Request, service: RecommenderService, state: SearchState) -> Response:
    snapshot = service.snapshot
    if state.has_query and not state.error:
        state = _run(request, service, state)
    popular = [row for row in snapshot.stats.popular_rows[:EXAMPLES].tolist() if snapshot.active[row]]
    return render_page(
        request,
        "search.html",
        state.status,
        search=state,
        facets=catalog_facets(snapshot, request.query_params),
        filtered=bool(parse_filters(request.query_params)),
        shared_space=shares_space(snapshot),
        remedy=REMEDY,
        examples=[] if state.has_query else [item_card(snapshot, row) for row in popular],
        has_images=any(kind == "image" for kind, *_ in snapshot.content.plan.values()),
    )


def _run(request: Request, service: RecommenderService, state: SearchState) -> SearchState:
    user = current_user(request) if state.personalized else None
    state = replace(state, personalized=user is not None)
    query = RecommendRequest(
        MAX_RESULTS,
        user=user,
        text=state.text or None,
        image=None if state.image is None else base64.b64decode(state.image),
        similar_to=state.similar_to.id if state.similar_to else None,
        filters=parse_filters(request.query_params),
        include_seen=user is None,
        hidden_for=current_user(request),
    )
    try:
        response = service.recommend(query)
    except SearchUnavailable:
        return replace(state, error="The search could not be done just now.", hint="Try again in a moment.", status=503)
    except PalateError as error:
        hint = error.hint or ""
        if isinstance(error, UnsupportedError) and not hint:
            hint = "Search by the text alone, or by the image alone."
        return replace(state, error=error.message, hint=hint, status=422)
    return replace(state, results=tuple(item_cards(service.snapshot, response.items)), notes=response.notes)
