"""Impression cards: what a reader sees of an article in a list, drawn from its category, title and picture."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from palate.core.encoder import Raw
from palate.core.errors import FeatureError
from palate.data.catalog import Catalog
from palate.features.default_encoders import default_encoder
from palate.features.encoders.base import ContentEncoder
from palate.features.encoders.make import make_encoder
from palate.features.item_words import WORD, WordVocabulary
from palate.features.media import open_image
from palate.features.media.source import media_source

SIDE, MARGIN, LINE, LETTERS = 224, 8, 20, 16
"""Of a card, in pixels: its side, the margin, the height of a line, the size of letters."""
CROP = (8, 24)
"""Height and width of what is kept of the place of a word."""
CARDS = 20_000
"""Cards that are kept, as vectors, in a process."""
Floats = NDArray[np.float32]
_WORD = re.compile(WORD.replace(r"\p{L}\p{N}", r"\w"))


@dataclass(frozen=True)
class Impression:
    """What is kept of a card.

    Attributes:
        whole: float32 [d], the card by an encoder of pictures.
        words: float16 [words, 192], pixels at the place of each word in [0, 1], dark letters near 1.
    """

    whole: Floats
    words: NDArray[np.float16]


def draw_card(words: Sequence[str], category: str, picture: Image.Image | None) -> tuple[Image.Image, list[tuple]]:
    """A card: the category, the title below it, the picture in what is left.

    Args:
        words: of the title.
        category: a line at the top.
        picture: None leaves its place grey.

    Returns:
        RGB, and the box (left, top, right, bottom) of each word that has room.
    """
    card = Image.new("RGB", (SIDE, SIDE), "white")
    pen, font = ImageDraw.Draw(card), ImageFont.load_default(LETTERS)
    pen.text((MARGIN, MARGIN), category, fill=(180, 40, 40), font=ImageFont.load_default(LETTERS - 4))
    x, y, boxes = MARGIN, MARGIN + LINE, []
    for word in words:
        width = int(pen.textlength(word, font=font))
        if x > MARGIN and x + width > SIDE - MARGIN:
            x, y = MARGIN, y + LINE
        if y + LINE > SIDE:
            break
        pen.text((x, y), word, fill="black", font=font)
        boxes.append((x, y, min(x + width, SIDE), y + LINE))
        x += width + LETTERS // 3
    top = y + LINE + MARGIN // 2
    if top < SIDE - LINE:
        place = (SIDE - 2 * MARGIN, SIDE - MARGIN - top)
        pen.rectangle((MARGIN, top, MARGIN + place[0], top + place[1]), fill=(225, 225, 225))
        if picture is not None:
            shown = picture.convert("RGB")
            shown.thumbnail(place)
            card.paste(shown, (MARGIN + (place[0] - shown.width) // 2, top + (place[1] - shown.height) // 2))
    return card, boxes


def impressions(
    items: Catalog, vocabulary: WordVocabulary, length: int, category: str | None
) -> tuple[Floats, NDArray[np.float16]]:
    """Cards of all items as vectors; a card that was seen before in this process is not drawn again.

    Args:
        items: n items.
        vocabulary: says which column holds titles.
        length: words kept of a title.
        category: column of the line at the top; None leaves it empty.

    Returns:
        float32 [n, d], zero where an item has neither title, category nor picture; float16 [n, length, 192].
    """
    texts = [None] * len(items) if vocabulary.title is None else items.frame[vocabulary.title].to_list()
    lines = [None] * len(items) if category is None else items.frame[category].to_list()
    pictures: list[Raw] = items.raw("image") if items.columns("image") else [None] * len(items)
    seen = [_impression(_words(t, length), str(c or ""), _name(p)) for t, c, p in zip(texts, lines, pictures)]
    whole = np.stack([one.whole for one in seen]) if seen else np.zeros((0, _reader().dim), np.float32)
    words = np.zeros((len(seen), length, CROP[0] * CROP[1]), np.float16)
    for row, one in enumerate(seen):
        words[row, : len(one.words)] = one.words
    return whole, words


def card_width() -> int:
    """Width of the vector of a card by the encoder of pictures that is installed."""
    return _reader().dim


def _words(text: str | None, length: int) -> tuple[str, ...]:
    return tuple(_WORD.findall(text or "")[:length])


def _name(raw: Raw) -> str | bytes | None:
    return raw if isinstance(raw, bytes) or raw is None else str(raw)


@lru_cache(maxsize=1)
def _reader() -> ContentEncoder:
    encoder = make_encoder(default_encoder("image"), "image")
    assert isinstance(encoder, ContentEncoder)
    return encoder


@lru_cache(maxsize=CARDS)
def _impression(words: tuple[str, ...], category: str, source: str | bytes | None) -> Impression:
    if not words and not category and source is None:
        return Impression(np.zeros(_reader().dim, np.float32), np.zeros((0, CROP[0] * CROP[1]), np.float16))
    card, boxes = draw_card(words, category, _picture(source))
    grey = card.convert("L")
    crops = [np.asarray(grey.resize(CROP[::-1], Image.Resampling.BILINEAR, box=box), np.float32) for box in boxes]
    pixels = np.stack(crops).reshape(len(crops), -1) if crops else np.zeros((0, CROP[0] * CROP[1]), np.float32)
    file = io.BytesIO()
    card.save(file, "PNG")
    whole = _reader().encode([file.getvalue()]).values[0].astype(np.float32)
    return Impression(whole, (1 - pixels / 255).astype(np.float16))


def _picture(source: str | bytes | None) -> Image.Image | None:
    if source is None:
        return None
    try:
        raw: Raw = source if isinstance(source, bytes) else Path(source)
        return open_image(media_source(raw, "a picture"), near=SIDE)
    except FeatureError:
        # a card without its picture is still a card
        return None
