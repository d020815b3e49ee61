"""Add, change and remove items."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.core.errors import PalateError
from palate.serving.api.ids import item_id
from palate.serving.page.cards import item_card
from palate.serving.page.cookies import set_flash
from palate.serving.page.form import Form, FormContent
from palate.serving.page.form_fields import FormField, form_fields, new_item_id, parse_fields
from palate.serving.page.render import render_page, service_of
from palate.serving.service import RecommenderService


def register(router: APIRouter) -> None:
    """Add the routes.

    Args:
        router: router of the page.
    """
    router.get("/add")(add)
    router.get("/edit")(edit)
    router.post("/add")(store)
    router.post("/remove")(remove)


def add(request: Request) -> Response:
    """The empty form of a new item.

    Args:
        request: the request.
    """
    service = service_of(request)
    return _render(request, service, form_fields(service.snapshot))


def edit(request: Request) -> Response:
    """The form of an existing item.

    Args:
        request: the request.

    Raises:
        UnknownItem: for an unknown item.
    """
    service = service_of(request)
    item = request.query_params.get("item", "")
    snapshot, _, row = service.find_item(item)
    return _render(request, service, form_fields(snapshot, row), item=item)


def store(request: Request, form: Form) -> Response:
    """Add or update an item; an invalid form is shown again with the values that were sent.

    Args:
        request: the request.
        form: ``item``, ``new``, a field for each column, and an image.
    """
    service = service_of(request)
    snapshot, item = service.snapshot, form.get("item")
    exists = item is not None and snapshot.row(item) >= 0
    if form.get("new") and exists:
        return _render_again(
            request, service, form, "An item with this id exists already.", "Choose another id, or leave it empty."
        )
    try:
        main, _ = form_fields(snapshot, -1, form.fields)
        fields = parse_fields(snapshot, form.fields, not exists)
        name = item_id(service, item or new_item_id(snapshot, main[0].value if main else ""))
        status = service.put_items([(name, fields, form.image)])[0]
    except PalateError as error:
        place = f"{error.column}: " if error.column else ""
        return _render_again(request, service, form, f"{place}{error.message}", error.hint or "")
    url = item_card(service.snapshot, service.snapshot.row(name)).url
    if status == "added":
        return RedirectResponse(f"{url}{'&' if '?' in url else '?'}added=1", 303)
    response = RedirectResponse(url, 303)
    set_flash(request, response, "updated", name)
    return response


def remove(request: Request, form: Form) -> Response:
    """Remove an item from every list.

    Args:
        request: the request.
        form: ``item``.

    Raises:
        UnknownItem: for an unknown item.
    """
    service, item = service_of(request), form.fields.get("item", "")
    service.remove_item(item)
    response = RedirectResponse("/", 303)
    set_flash(request, response, "removed", item)
    return response


def _render_again(request: Request, service: RecommenderService, form: FormContent, error: str, hint: str) -> Response:
    is_new = bool(form.get("new"))
    return _render(
        request,
        service,
        form_fields(service.snapshot, -1, form.fields),
        item=None if is_new else form.get("item"),
        new_id=form.get("item") or "" if is_new else "",
        error=error,
        hint=hint,
        status=422,
    )


def _render(
    request: Request, service: RecommenderService, fields: tuple[list[FormField], list[FormField]],
    item: str | None = None, new_id: str = "", error: str = "", hint: str = "", status: int = 200,
) -> Response:  # fmt: skip
    snapshot = service.snapshot
    row = -1 if item is None else snapshot.row(item)
    return render_page(
        request,
        "edit.html",
        status,
        main=fields[0],
        other=fields[1],
        item=item_card(snapshot, row) if row >= 0 else None,
        new_id=new_id,
        error=error,
        hint=hint,
        scores_new_items=snapshot.model.capabilities.new_items,
        model=snapshot.model.name,
        has_images="image" in snapshot.items.kinds.values(),
    )
