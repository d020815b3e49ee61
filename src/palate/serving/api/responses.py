"""Answers as JSON, made by hand: what goes out was made here and needs no second check on the way."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response

from palate.serving.requests import Explanation, RecommendResponse


class Json(Response):
    """Any plain value as compact JSON; what is no finite number is null."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def told(answer: RecommendResponse) -> dict[str, Any]:
    """A list, as :class:`palate.serving.api.schemas.List` describes it."""
    return {
        "items": [
            {"id": one.id, "title": one.title, "score": round(one.score, 6), "because": list(one.because)}
            for one in answer.items
        ],
        "run": answer.run,
        "said_by": answer.source,
        "steps": [
            {"stage": name, "ms": round(1e3 * seconds, 3), "outcome": verdict}
            for name, seconds, verdict in answer.timings
        ],
    }


def explained(found: Explanation) -> dict[str, Any]:
    """Reasons, as :class:`palate.serving.api.schemas.Explained` describes them."""
    return {
        "item": found.item,
        "title": found.title,
        "score": found.score,
        "liked": [{"id": name, "title": title, "share": share} for name, title, share in found.history],
        "modalities": [{"name": name, "share": share} for name, share in found.modalities],
        "behaviour": found.behaviour,
        "attributes": [{"column": c, "value": v, "shared_with": list(names)} for c, v, names in found.attributes],
        "words": found.text,
    }
