"""Columns that get a feature of their own, and how each is encoded."""

from __future__ import annotations

import re
from collections.abc import Collection

from palate.data.catalog import Catalog

Field = tuple[str, str, tuple[str, ...]]
"""(modality to read the columns as, encoder specification, columns)."""

WORDS, VALUES = "tfidf?dim=512&pairs=false", "tfidf_attributes?dim=4096"
MAX_ITEMS = 12_000
NEARLY_UNIQUE = 0.95


def plan_fields(items: Catalog, modalities: Collection[str], meaning: bool = False) -> dict[str, Field]:
    """Choose single columns to encode; none in catalogues above ``MAX_ITEMS`` rows.

    Words of each text column, its meaning where MiniLM reads the texts, numbers as numbers, other attributes as their
    values, and one sentence of texts and categories together. Columns whose values are nearly all different
    say nothing of similarity and are left out.

    Args:
        items: the catalogue.
        modalities: that are in use.
        meaning: whether single columns are read by MiniLM as well.

    Returns:
        Name of the field -> how it is encoded.
    """
    if len(items) > MAX_ITEMS:
        return {}
    texts = items.columns("text") if "text" in modalities else []
    fields: dict[str, Field] = {f"words_{_safe(c)}": ("text", WORDS, (c,)) for c in texts}
    if meaning and len(texts) > 1:
        fields |= {f"meaning_{_safe(c)}": ("text", "minilm", (c,)) for c in texts}
    categories = []
    for column in items.columns("attributes") if "attributes" in modalities else []:
        values = items.frame[column]
        if values.dtype.is_numeric():
            fields[f"number_{_safe(column)}"] = ("attributes", "number", (column,))
        elif values.dtype.is_nested() or values.n_unique() <= NEARLY_UNIQUE * len(values):
            fields[f"values_{_safe(column)}"] = ("attributes", VALUES, (column,))
            categories.append(column)
    if meaning and texts and categories:
        fields["meaning_all"] = ("text", "minilm", (texts[0], *categories))
    return fields


def _safe(column: str) -> str:
    return re.sub(r"\W+", "_", column)
