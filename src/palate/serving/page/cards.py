"""Items as cards: what is shown of one in a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from urllib.parse import quote
from weakref import WeakKeyDictionary

import polars as pl

from palate.serving.page.values import looks_like_price, shown
from palate.serving.requests import RecommendedItem
from palate.serving.snapshot import ModelSnapshot

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


_COLUMNS: WeakKeyDictionary[ModelSnapshot, Columns] = WeakKeyDictionary()


def columns(snapshot: ModelSnapshot) -> Columns:
    """The first attribute with few short values, and the first number that is called a price."""
    if snapshot not in _COLUMNS:
        frame = snapshot.items.frame
        attributes = snapshot.items.columns("attributes")
        price = next((c for c in attributes if looks_like_price(c) and frame[c].dtype.is_numeric()), None)
        above = next((c for c in attributes if frame[c].dtype == pl.String and _short(frame[c])), None)
        _COLUMNS[snapshot] = Columns(above, price)
    return _COLUMNS[snapshot]


def card(snapshot: ModelSnapshot, row: int) -> Card:
    """Of the item in ``row``."""
    named, frame = columns(snapshot), snapshot.items.frame
    above = None if named.above is None else shown(named.above, frame[named.above][row])
    price = None if named.price is None else shown(named.price, frame[named.price][row])
    return Card(snapshot.ids[row], snapshot.stats.titles[row], picture(snapshot, row), above, price)


def cards(snapshot: ModelSnapshot, found: Iterable[RecommendedItem], liked: Iterable[int] = ()) -> list[Card]:
    """Of an answer, those that are in ``snapshot``, in its order."""
    taken, out = set(liked), list[Card]()
    for item in found:
        row = snapshot.row(item.id)
        if row >= 0:
            reasons = [snapshot.row(reason) for reason in item.because]
            because = tuple(card(snapshot, reason) for reason in reasons if reason >= 0)
            out.append(replace(card(snapshot, row), because=because, liked=row in taken, rank=len(out) + 1))
    return out


def picture(snapshot: ModelSnapshot, row: int) -> str:
    """Address of an item's picture; another one when the picture is replaced."""
    address = f"/picture/{quote(snapshot.ids[row], safe='')}"
    file = snapshot.images.get(row)
    return address if file is None else f"{address}?v={file.stem[:12]}"


def _short(series: pl.Series) -> bool:
    there = series.drop_nulls()
    length = there.str.len_chars().mean() if len(there) else None
    return isinstance(length, float) and length <= SHORT and there.n_unique() < max(len(there) // 2, 2)
