"""What a form sent: fields and at most one picture, within limits."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from palate.serving.images import MAX_IMAGE_BYTES

MOST = MAX_IMAGE_BYTES + 2**20
FIELDS = 200


@dataclass(frozen=True)
class Sent:
    """Fields by name, and the picture's bytes where a file was chosen."""

    fields: Mapping[str, str]
    picture: bytes | None

    def get(self, name: str) -> str | None:
        """A field that says something, without spaces around it."""
        return self.fields.get(name, "").strip() or None


async def _read(request: Request) -> Sent:
    length = request.headers.get("content-length")
    if length is None or not length.isdigit():
        raise HTTPException(411, "A form says how long it is.")
    if int(length) > MOST:
        raise HTTPException(413, f"A picture may have up to {MAX_IMAGE_BYTES // 2**20} MiB.")
    fields: dict[str, str] = {}
    picture = None
    async with request.form(max_files=1, max_fields=FIELDS, max_part_size=2**20) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                # a browser sends an empty file where none was chosen
                picture = await value.read() or None
            else:
                fields[name] = value
    return Sent(fields, picture)


Form = Annotated[Sent, Depends(_read)]
