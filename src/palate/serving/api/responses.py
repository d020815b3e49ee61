"""Responses as JSON, serialised directly: the service's own values need no second validation."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from uuid import uuid4

from pydantic import JsonValue
from starlette.responses import Response

from palate.serving.requests import Explanation, RecommendResponse

JsonObject = dict[str, JsonValue]


class JsonResponse(Response):
    """A value as compact JSON; numbers that are not finite become null."""

    media_type = "application/json"

    def render(self, content: JsonValue) -> bytes:
        """Serialise ``content``.

        Args:
            content: any JSON value.
        """
        try:
            text = _dumps(content)
        except ValueError:
            text = _dumps(finite(content))
        return text.encode("utf-8", "replace")


def finite(value: JsonValue) -> JsonValue:
    """``value`` with null in place of numbers that are not finite.

    Args:
        value: any JSON value.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list):
        return [finite(part) for part in value]
    if isinstance(value, Mapping):
        return {key: finite(part) for key, part in value.items()}
    return value


def response_json(response: RecommendResponse) -> JsonObject:
    """A list, as :class:`palate.serving.api.response_schemas.RecommendationList` describes it.

    Args:
        response: the service's response.
    """
    return {
        "recommendation_id": uuid4().hex,
        "items": [
            {"id": item.id, "title": item.title, "score": round(item.score, 6), "reasons": list(item.reasons)}
            for item in response.items
        ],
        "run": response.run,
        "source": response.source,
        "fallback": response.fallback,
        "timings": [
            {"stage": stage, "ms": round(1e3 * seconds, 3), "outcome": outcome}
            for stage, seconds, outcome in response.timings
        ],
        "notes": list(response.notes),
    }


def explanation_json(explanation: Explanation) -> JsonObject:
    """An explanation, as :class:`palate.serving.api.response_schemas.ItemExplanation` describes it.

    Args:
        explanation: the service's explanation.
    """
    return {
        "item": explanation.item,
        "title": explanation.title,
        "score": explanation.score,
        "history": [{"id": item, "title": title, "share": share} for item, title, share in explanation.history],
        "modalities": [{"name": name, "share": share} for name, share in explanation.modalities],
        "behaviour": explanation.behaviour,
        "attributes": [
            {"column": column, "value": value, "shared_with": list(items)}
            for column, value, items in explanation.attributes
        ],
        "text": explanation.text,
    }


def _dumps(value: JsonValue) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
