"""Items as cards: what is shown of one in a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import quote
from weakref import WeakKeyDictionary

import polars as pl

from palate.serving.edition import Edition
from palate.serving.wishes import Shown

from .values import looks_like_price, shown

SHORT = 24
"""Characters of a value that stands above a title, on average over the catalogue."""


@dataclass(frozen=True)
class Card:
    """An item in a list.

    Attributes:
        picture: its address without a side. above: a short attribute. price: a number beside the title. because: liked
            items that carried it. liked: it is among what the user took. rank: place in its list, from 1.
    """

    id: str
    title: str
    picture: str
    above: str | None = None
    price: str | None = None
    because: tuple[Card, ...] = ()
    liked: bool = False
    rank: int = 0
    note: str = field(default="", compare=False)

    @property
    def href(self) -> str:
        """Address of its page."""
        return f"/item/{quote(self.id, safe='')}"

    def side(self, pixels: int) -> str:
        """Address of its picture in a size."""
        return f"{self.picture}{'&' if '?' in self.picture else '?'}side={pixels}"


@dataclass(frozen=True)
class Columns:
    """Which columns of a catalogue say something at a glance."""

    above: str | None
    price: str | None


_COLUMNS: WeakKeyDictionary[Edition, Columns] = WeakKeyDictionary()


def columns(edition: Edition) -> Columns:
    """The first attribute with few short values, and the first number that is called a price."""
    if edition not in _COLUMNS:
        frame = edition.items.frame
        attributes = edition.items.columns("attributes")
        price = next((c for c in attributes if looks_like_price(c) and frame[c].dtype.is_numeric()), None)
        above = next((c for c in attributes if frame[c].dtype == pl.String and _short(frame[c])), None)
        _COLUMNS[edition] = Columns(above, price)
    return _COLUMNS[edition]


def card(edition: Edition, row: int) -> Card:
    """Of the item in ``row``."""
    named, frame = columns(edition), edition.items.frame
    above = None if named.above is None else shown(named.above, frame[named.above][row])
    price = None if named.price is None else shown(named.price, frame[named.price][row])
    return Card(edition.ids[row], edition.titles[row], picture(edition, row), above, price)


def cards(edition: Edition, found: Iterable[Shown], liked: Iterable[int] = ()) -> list[Card]:
    """Of an answer, those that are in ``edition``, in its order."""
    taken, out = set(liked), list[Card]()
    for item in found:
        row = edition.row(item.id)
        if row >= 0:
            reasons = [edition.row(reason) for reason in item.because]
            because = tuple(card(edition, reason) for reason in reasons if reason >= 0)
            out.append(replace(card(edition, row), because=because, liked=row in taken, rank=len(out) + 1))
    return out


def picture(edition: Edition, row: int) -> str:
    """Address of an item's picture; another one when the picture is replaced."""
    address = f"/picture/{quote(edition.ids[row], safe='')}"
    file = edition.pictures.get(row)
    return address if file is None else f"{address}?v={file.stem[:12]}"


def _short(series: pl.Series) -> bool:
    there = series.drop_nulls()
    length = there.str.len_chars().mean() if len(there) else None
    return isinstance(length, float) and length <= SHORT and there.n_unique() < max(len(there) // 2, 2)
