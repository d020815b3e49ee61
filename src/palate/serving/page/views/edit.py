"""Add, change and remove items."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from palate.core.errors import FeatureError, PalateError
from palate.serving.api.ids import item_id
from palate.serving.images import decode_base64, sanitize_image
from palate.serving.page.cards import item_card
from palate.serving.page.cookies import set_flash
from palate.serving.page.form import Form, FormContent
from palate.serving.page.form_fields import FormField, form_fields, new_item_id, parse_fields
from palate.serving.page.render import render_page, service_of
from palate.serving.service import RecommenderService

ID, IMAGE = "#id", "#image"
"""Keys of the errors of the fields that are no columns."""


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
    """Add or update an item; an invalid form is shown again with the values and the image that were sent.

    Args:
        request: the request.
        form: ``item``, ``new``, a field for each column, and an image, or ``image_data`` of an earlier attempt.
    """
    service = service_of(request)
    snapshot, item = service.snapshot, form.get("item")
    exists = item is not None and snapshot.row(item) >= 0
    fields, errors = parse_fields(snapshot, form.fields, not exists)
    if form.get("new") and exists:
        errors[ID] = "An item with this id exists already. Choose another id, or leave it empty."
    try:
        image = _image(form)
    except FeatureError as error:
        image, errors[IMAGE] = None, error.message
    if errors:
        return _render_again(request, service, form, errors, image)
    try:
        main, _ = form_fields(snapshot, -1, form.fields)
        name = item_id(service, item or new_item_id(snapshot, main[0].value if main else ""))
        status = service.put_items([(name, fields, image)])[0]
    except PalateError as error:
        message = f"{error.message}{f'. {error.hint[:1].upper()}{error.hint[1:]}' if error.hint else ''}"
        column = ID if error.column == "item" or error.column is None else error.column
        return _render_again(request, service, form, {column: message}, image)
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


def _image(form: FormContent) -> bytes | None:
    """The chosen image, made safe; else that of an earlier attempt.

    Raises:
        FeatureError: if it cannot be read.
    """
    earlier = form.get("image_data")
    data = form.image or (decode_base64(earlier) if earlier else None)
    return None if data is None else sanitize_image(data)


def _render_again(
    request: Request, service: RecommenderService, form: FormContent, errors: Mapping[str, str], image: bytes | None
) -> Response:
    is_new = bool(form.get("new"))
    return _render(
        request,
        service,
        form_fields(service.snapshot, -1, form.fields, errors),
        item=None if is_new else form.get("item"),
        new_id=form.get("item") or "" if is_new else "",
        errors=errors,
        image=image,
    )


def _render(
    request: Request, service: RecommenderService, fields: tuple[list[FormField], list[FormField]],
    item: str | None = None, new_id: str = "", errors: Mapping[str, str] | None = None, image: bytes | None = None,
) -> Response:  # fmt: skip
    snapshot = service.snapshot
    row = -1 if item is None else snapshot.row(item)
    errors = errors or {}
    labels = {ID: "Id", IMAGE: "Image", **{field.column: field.label for part in fields for field in part}}
    return render_page(
        request,
        "edit.html",
        422 if errors else 200,
        main=fields[0],
        other=fields[1],
        item=item_card(snapshot, row) if row >= 0 else None,
        new_id=new_id,
        errors=[(labels.get(column, column), message) for column, message in errors.items()],
        id_error=errors.get(ID, ""),
        image_error=errors.get(IMAGE, ""),
        image=None if image is None else base64.b64encode(image).decode(),
        scores_new_items=snapshot.model.capabilities.new_items,
        model=snapshot.model.name,
        has_images="image" in snapshot.items.kinds.values(),
    )
