"""Facts of an item by what they tell, and what may be said for a user and an item, with the rows where it stands."""

from __future__ import annotations

import datetime
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from palate.contracts import Evidence, Preference
from palate.features.encoders.attribute_values import attribute_values, written_values
from palate.generation.decoding.commands import without_commands
from palate.generation.taste import cell_values, spelling

ROLES: dict[str, tuple[str, ...]] = {
    "title": ("title", "name", "product name", "item name"),
    "category": (
        "subcategory", "category", "categories", "genre", "genres", "product type", "type", "kind", "section", "topic",
    ),
    "director": ("director", "directors", "directed by"),
    "cast": ("actors", "actor", "cast", "stars", "starring"),
    "author": ("author", "authors", "writer", "writers", "written by"),
    "artist": ("artist", "artists", "band", "singer", "composer", "performer"),
    "brand": ("brand", "maker", "manufacturer", "label", "publisher", "studio", "vendor", "designer"),
    "material": ("material", "materials", "fabric", "made of"),
    "colour": ("color", "colour", "colors", "colours"),
    "style": ("style", "styles", "pattern", "shape"),
    "tags": ("tags", "tag", "keywords", "features"),
    "country": ("country", "countries", "origin", "city", "location"),
    "language": ("language", "languages"),
    "year": ("year", "release year", "released", "release date", "date"),
    "price": ("price", "cost", "amount"),
    "duration": ("runtime", "duration", "length"),
    "rated": ("rated", "certificate", "age rating"),
    "size": ("size", "sizes", "dimensions"),
    "description": ("description", "plot", "summary", "abstract", "overview", "body", "text", "about", "content"),
}  # fmt: skip
"""What a column tells, by its name, the most telling first; every other column is ``other``."""
for _role, _names in {
    "title": "titel bezeichnung produktname artikelname nom titre nombre título titulo nome titolo naam nazwa tytuł "
             "название наименование 名称 标题 商品名 商品名称 タイトル 名前",
    "category": "kategorie warengruppe catégorie categorie categoría categoria kategoria категория 类别 分类 カテゴリ",
    "author": "autor auteur autore автор 作者 著者",
    "brand": "marke hersteller marque marca merk marka producent бренд 品牌 ブランド メーカー",
    "material": "matière matériau materiale materiaal materiał материал 材质 材料 素材",
    "colour": "farbe couleur cor colore kleur kolor цвет 颜色 色",
    "style": "muster form motif forme forma vorm wzór форма стиль 款式 形状 スタイル",
    "year": "jahr année annee año anno ano jaar rok год 年份 年",
    "price": "preis prix precio prezzo preço preco prijs cena цена 价格 価格 値段",
    "size": "größe groesse taille talla taglia tamanho maat rozmiar размер 尺寸 サイズ",
    "description": "beschreibung descripción descripcion descrizione descrição descricao omschrijving opis описание "
                   "描述 说明 説明",
}.items():  # fmt: skip
    ROLES[_role] = (*ROLES[_role], *_names.split())
_ROLE_OF = {name: role for role, names in ROLES.items() for name in names}
_ORDER = {role: at for at, role in enumerate([*ROLES, "other"])}
_TECHNICAL = re.compile(r"(^|[ ])(id|ids|uid|url|link|uri|asin|sku|isbn|timestamp|first seen|added|created|updated)$")
_FILE = re.compile(
    r"(?i)^\S+\.(jpe?g|png|webp|gif|bmp|svg|wav|mp3|flac|ogg|mp4|webm|avi|mov|mkv)$|^(https?|data|file):"
)
_IDS = ("item_id", "id", "item", "movie_id", "product_id", "news_id", "asin")
_HIDDEN = re.compile(
    "[\u0000-\u001f\u007f-\u009f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ud800-\udfff]+"
)
_MINUTES = re.compile(r"(?i)^\s*(\d{1,4})(?:\.0)?\s*(?:min(?:utes?)?\.?)?\s*$")
MAX_VALUE, MAX_TITLE, MAX_TEXT = 60, 90, 2000
"""Characters of a value, a title and a longer text that are said at most."""


@dataclass(frozen=True)
class Fact:
    """A cell of an item, with what it tells.

    Attributes:
        id: id of the item.
        column: the column.
        role: one of :data:`ROLES`, or ``other``.
        values: what stands in it, as it may be said.
    """

    id: str
    column: str
    role: str
    values: tuple[str, ...]

    @property
    def label(self) -> str:
        """The column's name as words."""
        return words_of(self.column)

    def evidence(self, values: Sequence[str] | None = None) -> tuple[Evidence, ...]:
        """Where values stand.

        Args:
            values: those that are said; all by default.
        """
        return tuple(Evidence("item", self.id, self.column, value) for value in values or self.values)


@lru_cache(maxsize=4096)
def words_of(column: str) -> str:
    """The name of a column as words in lower case.

    Args:
        column: its name, such as ``ageRating`` or ``age_rating``.
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", column)
    return " ".join(re.split(r"[\s_\-.]+", spaced)).strip().lower()


def role_of(column: str) -> str:
    """What a column tells by its name.

    Args:
        column: its name.
    """
    return _ROLE_OF.get(words_of(column), "other")


def item_id(item: Mapping[str, Any]) -> str:
    """Id of an item: its column of ids by name, else its first column.

    Args:
        item: its cells.
    """
    lower = {name.lower(): name for name in item}
    name = next((lower[one] for one in _IDS if one in lower), None)
    name = name or next((one for one in item if one.lower().endswith("_id")), next(iter(item), None))
    return "" if name is None else str(item[name])


def title_of(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """Column and text of an item's title; None where it has none.

    Args:
        item: its cells.
    """
    for name in ROLES["title"]:
        for column, value in item.items():
            if words_of(column) == name and (text := said(value, MAX_TITLE)):
                return column, text
    return None


def facts_of(item: Mapping[str, Any]) -> list[Fact]:
    """What is known of an item, the most telling first, without ids, names of files and times of a log.

    Args:
        item: its cells.
    """
    own, found = item_id(item), list[Fact]()
    for column, cell in item.items():
        name, role = words_of(column), role_of(column)
        if cell is None or str(cell) == own or _TECHNICAL.search(name) or _FILE.match(str(cell)[:300].strip()):
            continue
        # a title is quoted as it is; in other texts a command to a language model is no fact
        known = without_commands(cell) if isinstance(cell, str) and role != "title" else cell
        if values := _values(role, known):
            long = role == "other" and len(values) == 1 and len(values[0].split()) > 8
            found.append(Fact(own, column, "description" if long else role, values))
    return sorted(found, key=lambda fact: _ORDER[fact.role])


def shared_with_history(
    item: Mapping[str, Any], history: Sequence[Mapping[str, Any]], liked: Sequence[Preference]
) -> list[tuple[Preference, list[Mapping[str, Any]]]]:
    """What an item has of what the user likes, the strongest first, with the items of the history that have it too.

    Args:
        item: cells of the item.
        history: cells of items that the user took, oldest first.
        liked: what the user likes, the strongest first.
    """
    by_id, own, values = {item_id(one): one for one in history}, item_id(item), dict[str, set[str]]()
    out = []
    for one in liked:
        if one.column not in values:
            values[one.column] = set(cell_values(item.get(one.column)))
        if one.value.lower() not in values[one.column]:
            continue
        having = [by_id[name] for name in one.items if name in by_id and name != own]
        if having:
            value = spelling(item.get(one.column), one.value.lower())
            out.append((Preference(one.column, value, one.weight, one.items), having[::-1]))
    return out


def may_be_said(
    item: Mapping[str, Any],
    history: Sequence[Mapping[str, Any]],
    liked: Sequence[Preference],
    taken: int | None = None,
) -> list[Evidence]:
    """Rows of catalogue and history that content for a user and an item may say.

    Args:
        item: cells of the item.
        history: cells of items that the user took, oldest first.
        liked: what the user likes, the strongest first.
        taken: how many people took the item, where known.

    Returns:
        Cells of the item; values that it shares with the history, and the titles of these items; the figure.
    """
    own = item_id(item)
    out = [row for fact in facts_of(item) for row in fact.evidence()]
    for one, having in shared_with_history(item, history, liked):
        for other in having:
            out.append(Evidence("history", item_id(other), one.column, one.value))
            if title := title_of(other):
                out.append(Evidence("history", item_id(other), *title))
    if taken:
        out.append(Evidence("catalog", own, "taken", taken))
    return list({(row.source, row.id, row.column, str(row.value)): row for row in out}.values())


def said(value: object, limit: int = MAX_VALUE) -> str:
    """A text of an item as it may be said: one line, bounded, without control and direction marks.

    Args:
        value: as it stands in the table.
        limit: characters, at most; a longer text ends with an ellipsis.
    """
    text = _HIDDEN.sub(" ", unicodedata.normalize("NFC", str(value)[: 8 * limit]))
    text = " ".join(text.split())
    if len(text) <= limit:
        return text
    head = text[: limit - 1]
    cut = head.rfind(" ")
    return (head[:cut] if cut > limit // 2 else head).rstrip(" ,;:.-") + "…"


def _values(role: str, cell: object) -> tuple[str, ...]:
    if role in ("title", "description"):
        return tuple(filter(None, [said(cell, MAX_TITLE if role == "title" else MAX_TEXT)]))
    if isinstance(cell, datetime.date):
        return (cell.isoformat()[:10],)
    if isinstance(cell, bool):
        return ("yes" if cell else "no",)
    if isinstance(cell, str) and role == "other" and len(cell.split()) > 12:
        return (said(cell, MAX_TEXT),)
    if role == "duration" and (minutes := _MINUTES.match(str(cell))):
        return (f"{int(minutes[1])} min",)
    if role == "price" and isinstance(cell, str):
        return tuple(filter(None, [said(cell)]))
    parsed = attribute_values(cell)
    if isinstance(parsed, float):
        return (_number(role, parsed),) if math.isfinite(parsed) else ()
    written = written_values(cell) or parsed
    return tuple(filter(None, (said(one) for one in written)))


def _number(role: str, value: float) -> str:
    if role == "price":
        return f"{value:.2f}"
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:.6g}"
