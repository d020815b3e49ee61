"""Text for encoders: valid Unicode of bounded length."""

from __future__ import annotations

import re

from palate.core.encoder import Raw
from palate.core.errors import FeatureError

MAX_CHARS = 200_000
"""Characters that are read at most, about a hundred pages."""

_SURROGATES = re.compile("[\ud800-\udfff]")
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def clean_text(raw: Raw, limit: int = MAX_CHARS) -> str | None:
    """Raw content as text: lone surrogates become U+FFFD, control characters spaces.

    Args:
        raw: text, or UTF-8 bytes.
        limit: characters read at most.

    Returns:
        The text; None if no visible character is left.

    Raises:
        FeatureError: if ``raw`` is neither text nor bytes.
    """
    if isinstance(raw, bytes):
        raw = raw[: 4 * limit].decode("utf-8", "replace")
    if not isinstance(raw, str):
        raise FeatureError(f"text expected, not {type(raw).__name__}")
    text = _CONTROLS.sub(" ", _SURROGATES.sub("�", raw[:limit]))
    return text if text.strip() else None
