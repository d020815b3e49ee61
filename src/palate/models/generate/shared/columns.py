"""Which columns of items are titles, texts and attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from palate.data.catalog import Catalog

TITLES = ("title", "name", "headline")
"""Names of title columns, the first that exists is read."""
EXPLANATIONS = ("explanation", "reason", "answer", "headline", "review")
"""Names of columns of the log that hold reference texts, the first that exists is learnt."""
QUESTIONS = ("question", "query")
"""Names of columns of the log that hold what a user asked."""


@dataclass(frozen=True)
class ItemColumns:
    """Columns of items by role.

    Attributes:
        ids: column of ids.
        title: column of titles, or None.
        body: columns of running text, without the title.
        attributes: columns of attributes.
    """

    ids: str
    title: str | None
    body: tuple[str, ...]
    attributes: tuple[str, ...]

    @classmethod
    def of(cls, items: Catalog) -> Self:
        """Columns of a catalogue by their kinds and names.

        Args:
            items: the catalogue.
        """
        by_name = {column.lower(): column for column in items.frame.columns}
        title = next((by_name[name] for name in TITLES if name in by_name), None)
        texts = items.columns("text")
        title = title or (texts[0] if texts else None)
        body = tuple(column for column in texts if column != title)
        attributes = tuple(column for column in items.columns("attributes") if column not in (title, items.id_column))
        return cls(items.id_column, title, body, attributes)

    @classmethod
    def load(cls, state: Mapping[str, Any]) -> Self:
        """Restore what :meth:`dump` returned.

        Args:
            state: as returned.
        """
        return cls(state["ids"], state["title"], tuple(state["body"]), tuple(state["attributes"]))

    def dump(self) -> dict[str, Any]:
        """JSON-able state."""
        return asdict(self)

    def title_of(self, row: Mapping[str, Any]) -> str | None:
        """Title of an item; None where it has none.

        Args:
            row: columns of the item.
        """
        return None if self.title is None else said(row.get(self.title))

    def body_of(self, row: Mapping[str, Any]) -> str | None:
        """Running text of an item; None where it has none.

        Args:
            row: columns of the item.
        """
        return " ".join(filter(None, (said(row.get(column)) for column in self.body))) or None

    def attributes_of(self, row: Mapping[str, Any]) -> str | None:
        """Attribute values of an item, separated by commas; None where it has none.

        Args:
            row: columns of the item.
        """
        return ", ".join(filter(None, (said(row.get(column)) for column in self.attributes))) or None


def said(value: Any) -> str | None:
    """A value of a column as text; None for none.

    Args:
        value: text, number, list or None.
    """
    if value is None or value != value:
        return None
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return ", ".join(filter(None, map(said, value))) or None
    return str(value).strip() or None
