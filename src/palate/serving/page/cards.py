"""Items as cards of a list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from weakref import WeakKeyDictionary

import polars as pl

from palate.serving.api.ids import id_address
from palate.serving.page.values import format_value, looks_like_price
from palate.serving.requests import RecommendedItem
from palate.serving.snapshot import ModelSnapshot
from palate.serving.user_state import UserState

MAX_EYEBROW = 24
"""Mean length, in characters, of the values of a column that is shown above titles."""


@dataclass(frozen=True)
class Card:
    """An item of a list.

    Attributes:
        id: item id.
        title: title of the item.
        image: address of its image, without a size.
        eyebrow: short attribute above the title.
        price: price below the title.
        reasons: items of the history that contributed most to its score.
        liked: whether the user took it by more than a click.
        hidden: whether the user hid it.
        verb: what the user did with it, where it is a reason.
        rank: position in the list, from 1.
        note: remark on its position.
    """

    id: str
    title: str
    image: str
    eyebrow: str | None = None
    price: str | None = None
    reasons: tuple[Card, ...] = ()
    liked: bool = False
    hidden: bool = False
    verb: str = "liked"
    rank: int = 0
    note: str = field(default="", compare=False)

    @property
    def url(self) -> str:
        """Address of the item's page."""
        return id_address("/item", self.id)

    def image_url(self, size: int) -> str:
        """Address of the item's image.

        Args:
            size: longest side in pixels.
        """
        return f"{self.image}{'&' if '?' in self.image else '?'}size={size}"


@dataclass(frozen=True)
class CardColumns:
    """Columns of a catalogue that cards show.

    Attributes:
        eyebrow: first attribute with few short values.
        price: first number that is a price by its name.
    """

    eyebrow: str | None
    price: str | None


_COLUMNS: WeakKeyDictionary[ModelSnapshot, CardColumns] = WeakKeyDictionary()


def card_columns(snapshot: ModelSnapshot) -> CardColumns:
    """Columns that cards show; found once for each snapshot.

    Args:
        snapshot: the catalogue.
    """
    if snapshot not in _COLUMNS:
        frame = snapshot.items.frame
        attributes = snapshot.items.columns("attributes")
        price = next((c for c in attributes if looks_like_price(c) and frame[c].dtype.is_numeric()), None)
        eyebrow = next((c for c in attributes if frame[c].dtype == pl.String and _is_short(frame[c])), None)
        _COLUMNS[snapshot] = CardColumns(eyebrow, price)
    return _COLUMNS[snapshot]


def item_card(snapshot: ModelSnapshot, row: int) -> Card:
    """The card of an item.

    Args:
        snapshot: the catalogue.
        row: row of the item.
    """
    columns, frame = card_columns(snapshot), snapshot.items.frame
    eyebrow = None if columns.eyebrow is None else format_value(columns.eyebrow, frame[columns.eyebrow][row])
    price = None if columns.price is None else format_value(columns.price, frame[columns.price][row])
    return Card(snapshot.ids[row], snapshot.stats.titles[row], _image(snapshot, row), eyebrow, price)


def item_cards(snapshot: ModelSnapshot, items: Iterable[RecommendedItem], state: UserState | None = None) -> list[Card]:
    """Cards of a response, in its order, without items that are not in the snapshot.

    Args:
        snapshot: the catalogue.
        items: items of the response.
        state: the user, who liked or viewed some of the items.
    """
    taken = set() if state is None else set(state.history.tolist())
    clicked = set() if state is None else set(state.clicked.tolist())
    cards = list[Card]()
    for item in items:
        row = snapshot.row(item.id)
        if row >= 0:
            rows = [snapshot.row(reason) for reason in item.reasons]
            reasons = tuple(reason_card(snapshot, reason, reason in clicked) for reason in rows if reason >= 0)
            card = item_card(snapshot, row)
            cards.append(replace(card, reasons=reasons, liked=row in taken - clicked, rank=len(cards) + 1))
    return cards


def reason_card(snapshot: ModelSnapshot, row: int, clicked: bool) -> Card:
    """The card of an item of the history, which the user liked or only viewed.

    Args:
        snapshot: the catalogue.
        row: row of the item.
        clicked: whether nothing but clicks on it is known.
    """
    return replace(item_card(snapshot, row), verb="viewed" if clicked else "liked")


def _image(snapshot: ModelSnapshot, row: int) -> str:
    """Address of an item's image; it changes when the image is replaced."""
    address = id_address("/image", snapshot.ids[row])
    file = snapshot.images.get(row)
    return address if file is None else f"{address}{'&' if '?' in address else '?'}v={file.stem[:12]}"


def _is_short(series: pl.Series) -> bool:
    present = series.drop_nulls()
    length = present.str.len_chars().mean() if len(present) else None
    return isinstance(length, float) and length <= MAX_EYEBROW and present.n_unique() < max(len(present) // 2, 2)
