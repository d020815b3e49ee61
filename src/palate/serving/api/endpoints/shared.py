"""Parts that several endpoints share: path parameters, documented errors, access to the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import Path, Query, Request
from starlette.exceptions import HTTPException

from palate.serving.api.problems import documented
from palate.serving.database import MAX_ID_LENGTH
from palate.serving.images import decode_base64, sanitize_image
from palate.serving.service import RecommenderService, UnknownItem

MAX_USER_ADDRESS = 600
"""Characters of a user id in an address: percent-encoded, they are within the length of a URL."""

ItemId = Annotated[str, Path(min_length=1, max_length=MAX_ID_LENGTH, description="item id")]
UserId = Annotated[str, Path(min_length=1, max_length=MAX_USER_ADDRESS, description="user id")]
ItemQuery = Annotated[str, Query(alias="id", min_length=1, max_length=MAX_ID_LENGTH, description="item id")]
UserQuery = Annotated[str, Query(alias="id", min_length=1, max_length=MAX_USER_ADDRESS, description="user id")]
BODY_ERRORS = documented(400, 408, 413, 422)
"""Errors of a request with a body."""
ITEM_ERRORS = documented(400, 404, 408, 413, 422)
"""Errors of a request with a body that names an item."""


def service_of(request: Request) -> RecommenderService:
    """The service that answers.

    Args:
        request: the request.
    """
    service: RecommenderService = request.app.state.service
    return service


@contextmanager
def unknown_item_is_404() -> Iterator[None]:
    """Answer 404 for an unknown item.

    Raises:
        HTTPException: 404.
    """
    try:
        yield
    except UnknownItem as error:
        raise HTTPException(404, f"no such item: {error.key!r}") from error


def image_bytes(image: str | None) -> bytes | None:
    """A safe JPEG of a base64 image.

    Args:
        image: base64 text, or None.

    Raises:
        FeatureError: for text that is not base64, or an image that cannot be read.
    """
    return None if image is None else sanitize_image(decode_base64(image))
