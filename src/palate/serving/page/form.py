"""The content of a submitted form: fields and at most one image, within limits."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from palate.serving.images import MAX_IMAGE_BYTES

MAX_FORM_BYTES = MAX_IMAGE_BYTES + 2**20
MAX_FIELDS, MAX_FIELD_BYTES = 200, 2 * 2**20
"""Fields of a form, and bytes of each but a file; a stored image as base64 is shorter."""
CHARSET = re.compile(r"charset\s*=\s*['\"]?([^\s'\";,]*)", re.IGNORECASE)
RENAMED = {"kind": "type", "picture": "image", "again": "image_data"}
"""Field of an earlier version -> field of today."""

# what is wrong with a form is told to its sender; the parser would also write a line into the server's log
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class FormContent:
    """A submitted form.

    Attributes:
        fields: values by name.
        image: bytes of the chosen file; None where no file was chosen.
    """

    fields: Mapping[str, str]
    image: bytes | None

    def get(self, name: str) -> str | None:
        """The value of a field without surrounding spaces; None where it is empty or missing.

        Args:
            name: name of the field.
        """
        return self.fields.get(name, "").strip() or None


async def read_form(request: Request) -> FormContent:
    """Read the form of a request.

    Args:
        request: the request.

    Raises:
        HTTPException: 411 without a length, 413 for a form that is too large, 415 for one that is not UTF-8, 422 for a
            renamed field.
    """
    charset = CHARSET.search(request.headers.get("content-type", ""))
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPException(415, "A form must be sent as UTF-8.")
    length = request.headers.get("content-length")
    if length is None or not length.isdigit():
        raise HTTPException(411, "A form must declare its length.")
    if int(length) > MAX_FORM_BYTES:
        raise HTTPException(413, f"An image may have up to {MAX_IMAGE_BYTES // 2**20} MiB.")
    fields: dict[str, str] = {}
    image = None
    async with request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES) as form:
        for name, value in form.multi_items():
            if name in RENAMED:
                raise HTTPException(422, f"The field {name!r} of this form was renamed to {RENAMED[name]!r}.")
            if isinstance(value, UploadFile):
                # a browser sends an empty file where none was chosen
                image = await value.read() or None
            else:
                fields[name] = value
    return FormContent(fields, image)


Form = Annotated[FormContent, Depends(read_form)]
"""Parameter of a view that takes a form."""
