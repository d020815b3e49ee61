"""Add, change and remove items."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.core.errors import PalateError
from palate.serving.page.blanks import Blank, blanks, filled, new_id
from palate.serving.page.cards import card
from palate.serving.page.html import page, shop_of
from palate.serving.page.sent import Form, Sent
from palate.serving.page.visitor import say
from palate.serving.shop import Shop


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/add")(add)
    router.get("/edit")(edit)
    router.post("/add")(added)
    router.post("/remove")(removed)


def add(request: Request) -> Response:
    """An empty form."""
    shop = shop_of(request)
    return _form(request, shop, *blanks(shop.edition))


def edit(request: Request) -> Response:
    """The form of an item that is there."""
    shop = shop_of(request)
    item = request.query_params.get("item", "")
    edition, _, row = shop.find(item)
    return _form(request, shop, *blanks(edition, row), item=item)


def added(request: Request, sent: Form) -> Response:
    """Put an item in; what cannot be used comes back with the form as it was filled."""
    shop = shop_of(request)
    edition, item = shop.edition, sent.get("item")
    here = item is not None and edition.row(item) >= 0
    try:
        main = blanks(edition, -1, sent.fields)[0]
        fields = filled(edition, sent.fields, not here)
        name = item or new_id(edition, main[0].value if main else "")
        if sent.get("new") and here:
            return _again(
                request, shop, sent, "There is an item with this id.", "Choose another id, or leave it empty."
            )
        told = shop.put([(name, fields, sent.picture)])[0]
    except PalateError as error:
        place = f"{error.column}: " if error.column else ""
        return _again(request, shop, sent, f"{place}{error.message}", error.hint or "")
    address = card(shop.edition, shop.edition.row(name)).href
    response = RedirectResponse(f"{address}?added=1" if told == "added" else address, 303)
    if told != "added":
        say(request, response, "updated", name)
    return response


def removed(request: Request, sent: Form) -> Response:
    """Take an item out of every list."""
    shop, item = shop_of(request), sent.fields.get("item", "")
    shop.find(item)
    shop.drop(item)
    response = RedirectResponse("/", 303)
    say(request, response, "removed", item)
    return response


def _again(request: Request, shop: Shop, sent: Sent, fault: str, hint: str) -> Response:
    item = None if sent.get("new") else sent.get("item")
    asked = sent.get("item") if sent.get("new") else None
    main, other = blanks(shop.edition, -1, sent.fields)
    return _form(request, shop, main, other, item, fault, hint, asked or "", 422)


def _form(
    request: Request, shop: Shop, main: list[Blank], other: list[Blank], item: str | None = None,
    fault: str = "", hint: str = "", asked: str = "", status: int = 200,
) -> Response:  # fmt: skip
    edition = shop.edition
    facts: dict[str, Any] = {
        "main": main,
        "other": other,
        "item": card(edition, edition.row(item)) if item is not None and edition.row(item) >= 0 else None,
        "fault": fault,
        "hint": hint,
        "asked": asked,
        "able": edition.model.capabilities.new_items,
        "model": edition.model.name,
        "sees": "image" in edition.items.kinds.values(),
    }
    return page(request, "add.html", status, **facts)
