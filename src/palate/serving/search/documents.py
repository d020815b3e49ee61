"""A catalogue as documents of the word index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from palate.core.batch import IntArray
from palate.data.catalog import Catalog
from palate.features.encoders.tfidf_attributes import attribute_values
from palate.serving.search.tokens import phrase
from palate.serving.search.word_index import Document, document

MAX_VALUE_LENGTH = 60
"""Characters of an attribute value beyond which it is not indexed."""


def catalog_documents(
    items: Catalog, titles: Sequence[str], ids: Sequence[str], rows: IntArray | None = None
) -> list[Document]:
    """Titles, attribute values and texts of items; an id counts as a title.

    Args:
        items: the catalogue.
        titles: titles by row.
        ids: external ids by row.
        rows: int64 [m], of these rows alone; by default of all.
    """
    frame = items.frame if rows is None else items.frame[rows]
    places = range(len(frame)) if rows is None else rows.tolist()
    values = [frame[column].to_list() for column in items.columns("attributes")]
    texts = [frame[column].to_list() for column in items.columns("text")]
    out = []
    for at, row in enumerate(places):
        own_values = [value for column in values for value in _values(column[at])]
        own_texts = [str(column[at]) for column in texts if column[at] is not None and str(column[at]) != titles[row]]
        one = document(titles[row], own_values, own_texts)
        out.append(replace(one, forms=(*one.forms, phrase(ids[row]))))
    return out


def _values(cell: object) -> list[str]:
    values = attribute_values(cell)
    if isinstance(values, float):
        return [str(int(values) if values.is_integer() else values)]
    return [value for value in values if len(value) <= MAX_VALUE_LENGTH]
