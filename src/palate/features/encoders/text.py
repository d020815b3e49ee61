"""Text as encoders read it: valid Unicode, bounded length."""

from __future__ import annotations

import re

from palate.core.encoder import Raw
from palate.core.errors import FeatureError

MAX_CHARS = 200_000
"""About a hundred pages; what lies beyond is not read."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean_text(raw: Raw, limit: int = MAX_CHARS) -> str | None:
    """``raw`` as text: lone surrogates become U+FFFD, control characters spaces; None where nothing visible is left.

    Args:
        raw: text, or UTF-8 bytes.
        limit: characters read at most.

    Raises:
        FeatureError: when it is neither.
    """
    if isinstance(raw, bytes):
        raw = raw[: 4 * limit].decode("utf-8", "replace")
    if not isinstance(raw, str):
        raise FeatureError(f"text expected, not {type(raw).__name__}")
    text = _CONTROLS.sub(" ", _SURROGATES.sub("�", raw[:limit]))
    return text if text.strip() else None
