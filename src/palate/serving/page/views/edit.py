"""Add, change and remove items."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.core.errors import PalateError
from palate.serving.page.cards import card
from palate.serving.page.cookies import say
from palate.serving.page.form import Form, Sent
from palate.serving.page.form_fields import Blank, blanks, filled, new_id
from palate.serving.page.render import page, service_of
from palate.serving.service import RecommenderService


def put(router: APIRouter) -> None:
    """Add the routes."""
    router.get("/add")(add)
    router.get("/edit")(edit)
    router.post("/add")(added)
    router.post("/remove")(removed)


def add(request: Request) -> Response:
    """An empty form."""
    service = service_of(request)
    return _form(request, service, *blanks(service.snapshot))


def edit(request: Request) -> Response:
    """The form of an item that is there."""
    service = service_of(request)
    item = request.query_params.get("item", "")
    snapshot, _, row = service.find_item(item)
    return _form(request, service, *blanks(snapshot, row), item=item)


def added(request: Request, sent: Form) -> Response:
    """Put an item in; what cannot be used comes back with the form as it was filled."""
    service = service_of(request)
    snapshot, item = service.snapshot, sent.get("item")
    here = item is not None and snapshot.row(item) >= 0
    try:
        main = blanks(snapshot, -1, sent.fields)[0]
        fields = filled(snapshot, sent.fields, not here)
        name = item or new_id(snapshot, main[0].value if main else "")
        if sent.get("new") and here:
            return _again(
                request, service, sent, "There is an item with this id.", "Choose another id, or leave it empty."
            )
        told = service.put_items([(name, fields, sent.picture)])[0]
    except PalateError as error:
        place = f"{error.column}: " if error.column else ""
        return _again(request, service, sent, f"{place}{error.message}", error.hint or "")
    address = card(service.snapshot, service.snapshot.row(name)).href
    response = RedirectResponse(f"{address}?added=1" if told == "added" else address, 303)
    if told != "added":
        say(request, response, "updated", name)
    return response


def removed(request: Request, sent: Form) -> Response:
    """Take an item out of every list."""
    service, item = service_of(request), sent.fields.get("item", "")
    service.find_item(item)
    service.remove_item(item)
    response = RedirectResponse("/", 303)
    say(request, response, "removed", item)
    return response


def _again(request: Request, service: RecommenderService, sent: Sent, fault: str, hint: str) -> Response:
    item = None if sent.get("new") else sent.get("item")
    asked = sent.get("item") if sent.get("new") else None
    main, other = blanks(service.snapshot, -1, sent.fields)
    return _form(request, service, main, other, item, fault, hint, asked or "", 422)


def _form(
    request: Request, service: RecommenderService, main: list[Blank], other: list[Blank], item: str | None = None,
    fault: str = "", hint: str = "", asked: str = "", status: int = 200,
) -> Response:  # fmt: skip
    snapshot = service.snapshot
    facts: dict[str, Any] = {
        "main": main,
        "other": other,
        "item": card(snapshot, snapshot.row(item)) if item is not None and snapshot.row(item) >= 0 else None,
        "fault": fault,
        "hint": hint,
        "asked": asked,
        "able": snapshot.model.capabilities.new_items,
        "model": snapshot.model.name,
        "sees": "image" in snapshot.items.kinds.values(),
    }
    return page(request, "edit.html", status, **facts)
