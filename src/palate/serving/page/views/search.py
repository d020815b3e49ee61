"""Search: by words, by a picture, by an item, and by one of these changed in words."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.responses import Response

from palate.core.errors import FeatureError, PalateError, UnsupportedError
from palate.serving.likeness import REMEDY, shares_space
from palate.serving.page.cards import Card, card, cards
from palate.serving.page.facets import facets, filters
from palate.serving.page.html import page, shop_of
from palate.serving.page.sent import Form
from palate.serving.page.visitor import visitor
from palate.serving.pictures import decoded, remade
from palate.serving.shop import Shop
from palate.serving.wishes import Wish

FOUND, TRIES, SIDE, LONGEST = 24, 12, 320, 500
"""Items that are found, and offered to start from; longest side of a picture; characters of words."""


@dataclass(frozen=True)
class Looked:
    """What was looked for, and what was found.

    Attributes:
        picture: as base64, so that the page can show it and ask again. fault: why nothing could be looked for.
    """

    words: str = ""
    picture: str | None = None
    like: Card | None = None
    mine: bool = False
    found: tuple[Card, ...] = ()
    fault: str = ""
    hint: str = ""

    @property
    def asked(self) -> bool:
        """Whether anything was."""
        return bool(self.words or self.picture or self.like)


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/search")(by_words)
    router.post("/search")(by_picture)


def by_words(request: Request) -> Response:
    """By words, by an item, or by an item changed in words."""
    query, shop = request.query_params, shop_of(request)
    like = query.get("like")
    shown = None
    if like:
        edition, _, row = shop.find(like)
        shown = card(edition, row)
    looked = Looked(query.get("q", "").strip()[:LONGEST], None, shown)
    return _answer(request, shop, looked, query.get("mine") == "1")


def by_picture(request: Request, sent: Form) -> Response:
    """By a picture that was sent, made anew before anything reads it; alone, or changed in words."""
    shop = shop_of(request)
    words, again = (sent.get("q") or "")[:LONGEST], sent.get("again")
    try:
        raw = sent.picture or (decoded(again) if again else None)
        picture = None if raw is None else base64.b64encode(remade(raw, SIDE)).decode()
    except FeatureError as error:
        return _answer(request, shop, Looked(words, fault=error.message, hint=error.hint or ""))
    return _answer(request, shop, Looked(words, picture), sent.get("mine") == "1")


def _answer(request: Request, shop: Shop, looked: Looked, mine: bool = False) -> Response:
    edition, user = shop.edition, visitor(request)
    if looked.asked and not looked.fault:
        looked = _looked(request, shop, looked, user if mine else None)
    facts = {
        "looked": looked,
        "facets": facets(edition, request.query_params),
        "shares": shares_space(edition),
        "remedy": REMEDY,
        "tries": []
        if looked.asked
        else [card(edition, int(row)) for row in edition.popular[:TRIES] if edition.alive[row]],
        "sees": any(kind == "image" for kind, *_ in edition.content.plan.values()),
    }
    return page(request, "search.html", 422 if looked.fault else 200, **facts)


def _looked(request: Request, shop: Shop, looked: Looked, user: str | None) -> Looked:
    picture = None if looked.picture is None else base64.b64decode(looked.picture)
    wish = Wish(
        FOUND, user=user, text=looked.words or None, picture=picture, like=looked.like.id if looked.like else None,
        filters=filters(request.query_params), seen=True,
    )  # fmt: skip
    try:
        told = shop.recommend(wish)
    except PalateError as error:
        hint = error.hint or ""
        if isinstance(error, UnsupportedError) and not hint:
            hint = "Look for words alone, or for the picture alone."
        return Looked(looked.words, looked.picture, looked.like, user is not None, (), error.message, hint)
    found = tuple(cards(shop.edition, told.items))
    return Looked(looked.words, looked.picture, looked.like, user is not None, found)
