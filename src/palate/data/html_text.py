"""HTML in texts: tags, scripts, styles and comments go, entities become characters."""

from __future__ import annotations

import html
import re

import polars as pl

_NAMES = (
    "a|abbr|address|article|aside|audio|b|base|big|blockquote|body|br|button|canvas|caption|center|cite|code|col|"
    "colgroup|dd|del|dfn|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|frame|frameset|h[1-6]|head|"
    "header|hr|html|i|iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|nav|noscript|object|ol|"
    "optgroup|option|p|param|picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|"
    "summary|sup|svg|table|tbody|td|template|textarea|tfoot|th|thead|time|title|tr|tt|u|ul|var|video|wbr"
)
TAG = rf"(?i)</?(?:{_NAMES})(?:\s[^<>]{{0,2000}})?/?>|<!--|<!doctype"
ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]{1,30});"
_HIDDEN = re.compile(
    r"<(script|style|noscript|template|svg)\b.*?(?:</\1\s*>|\Z)|<!--.*?(?:-->|\Z)|<!doctype[^>]*>", re.I | re.S
)
_TAG = re.compile(TAG)
_ENTITY = re.compile(ENTITY)
_SPACE = re.compile(r"\s+")


def has_markup(values: pl.Series) -> pl.Series:
    """bool [n]: which texts hold a tag or an entity of HTML; a bare ``<`` or ``&`` is neither.

    Args:
        values: texts.
    """
    return (values.str.contains(TAG) | values.str.contains(ENTITY)).fill_null(False)


def strip_html(text: str) -> str:
    """A text without markup; white space is folded where there was some.

    Args:
        text: a text, whose HTML may be escaped once more than it should be.
    """
    for _ in range(2):
        if not _TAG.search(text) and not _ENTITY.search(text):
            break
        text = html.unescape(_TAG.sub(" ", _HIDDEN.sub(" ", text)))
        text = _SPACE.sub(" ", text).strip()
    return text


def clean_texts(values: pl.Series) -> tuple[pl.Series, pl.Series]:
    """A column of texts without markup, empty ones absent, and bool [n] of those that had some.

    Args:
        values: texts.
    """
    marked = has_markup(values)
    if not marked.any():
        return values, marked
    distinct = values.filter(marked).unique()
    cleaned = [strip_html(text) or None for text in distinct.to_list()]
    out = values.replace(distinct, pl.Series(cleaned, dtype=pl.String))
    return out.alias(values.name), marked
