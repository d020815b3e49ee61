"""Small pictures for a page: opened safely, re-encoded as JPEG, embedded; items without one get their words."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np

from palate.core.errors import PalateError
from palate.data.catalog import Catalog
from palate.features.media import open_image

SIDE = 112


class Thumbnails:
    """Tiles of one catalogue, each made once."""

    def __init__(self, items: Catalog) -> None:
        self.items = items
        self._made: dict[int, dict[str, Any]] = {}

    def of(self, row: int) -> dict[str, Any]:
        """{"id", "title", "image": data URI or None} of an item row."""
        if row not in self._made:
            ids = self.items.ids.external(np.array([row]))
            columns = [c for c in ("title", "name") if c in self.items.frame.columns] or self.items.columns("text")[:1]
            text = self.items.frame[columns[0]][row] if columns else None
            self._made[row] = {"id": ids[0], "title": str(text or ids[0])[:80], "image": self._image(row)}
        return dict(self._made[row])

    def _image(self, row: int) -> str | None:
        if "image" not in self.items.kinds.values():
            return None
        try:
            raw = self.items.raw("image", np.array([row]))[0]
            if not isinstance(raw, (bytes, Path)):
                return None
            picture = open_image(raw)
        except PalateError:
            return None
        picture.thumbnail((SIDE, SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=72)
        return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
