"""Where picture and words stand: candidates are searched for one whose words cover nothing of the subject.

Three arrangements: ``extend`` stands a subject on its own plain background, which becomes the whole ground; ``bleed``
fills the ground with the picture and puts words where little of the subject's mass lies; ``frame`` shows the whole
picture beside the words. The cost adds what words cover, what the crop loses, how much pixels are enlarged and how
little room words have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from palate.generation.compose.saliency import Subject

Arrangement = Literal["extend", "bleed", "frame", "type"]
MAX_OVERLAP = 0.06
"""Share of the subject's mass that words may cover, at most."""
FRAME_COST, EXTEND_COST = 0.42, 0.0
"""What arrangements cost by themselves: a picture that fills the ground is preferred to a framed one."""
MAX_ENLARGED = 3.2
"""How much pixels are enlarged, at most."""


class Box(NamedTuple):
    """A box in pixels.

    Attributes:
        left: left edge.
        top: upper edge.
        right: right edge.
        bottom: lower edge.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        """In pixels."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """In pixels."""
        return self.bottom - self.top


@dataclass(frozen=True)
class Layout:
    """An arrangement of picture and words.

    Attributes:
        arrangement: which of the three; ``type`` for words alone.
        picture: where the whole picture lies on the ground; it may reach beyond it.
        words: box of the words.
        covered: share of the subject's mass under that box.
        cost: what the search compares.
    """

    arrangement: Arrangement
    picture: Box
    words: Box
    covered: float
    cost: float


def find_layout(size: tuple[int, int], picture: tuple[int, int], subject: Subject, only: str | None = None) -> Layout:
    """The best arrangement.

    Args:
        size: width and height of the ground, in pixels.
        picture: the same of the picture.
        subject: where the picture's subject is.
        only: the one arrangement to take, where it is possible.
    """
    found = sorted(_candidates(size, picture, subject), key=lambda layout: layout.cost)
    wanted = [layout for layout in found if layout.arrangement == only]
    return (wanted or found)[0]


def _candidates(size: tuple[int, int], picture: tuple[int, int], subject: Subject) -> Iterator[Layout]:
    yield from _framed(size, picture)
    if subject.background is not None:
        yield from _extended(size, picture, subject)
    yield from _bled(size, picture, subject)


def _halves(size: tuple[int, int]) -> Iterator[tuple[Box, Box, float]]:
    """Pairs of regions for the picture and for words, and what they cost."""
    width, height = size
    pad = round(0.075 * min(size))
    if width >= 1.25 * height:
        for share in (0.46, 0.52):
            cut = round(width * share)
            yield Box(width - cut, 0, width, height), Box(pad, pad, width - cut - pad // 3, height - pad), 0.0
            yield Box(0, 0, cut, height), Box(cut + pad // 3, pad, width - pad, height - pad), 0.03
        return
    for share in (0.5, 0.56) if height < 1.2 * width else (0.56, 0.62):
        cut = round(height * share)
        yield Box(0, 0, width, cut), Box(pad, cut + pad // 4, width - pad, height - pad), 0.0
    cut = round(height * 0.4)
    yield Box(0, cut, width, height), Box(pad, pad, width - pad, cut - pad // 4), 0.06


def _framed(size: tuple[int, int], picture: tuple[int, int]) -> Iterator[Layout]:
    for region, words, cost in _halves(size):
        margin = round(0.085 * min(size))
        scale = min((region.width - 1.2 * margin) / picture[0], (region.height - 1.6 * margin) / picture[1])
        enlarged = max(0.0, scale - MAX_ENLARGED)
        width, height = max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))
        left = region.left + (region.width - width) // 2
        top = region.top + (region.height - height) // 2
        empty = 1 - width * height / (region.width * region.height)
        box = Box(left, top, left + width, top + height)
        yield Layout("frame", box, words, 0.0, FRAME_COST + cost + 0.2 * empty + 0.05 * enlarged)


def _extended(size: tuple[int, int], picture: tuple[int, int], subject: Subject) -> Iterator[Layout]:
    left, top, right, bottom = subject.box
    wide, high = max(right - left, 0.02) * picture[0], max(bottom - top, 0.02) * picture[1]
    for region, words, cost in _halves(size):
        scale = min(0.84 * region.width / wide, 0.8 * region.height / high, MAX_ENLARGED * 1.4)
        width, height = max(1, round(picture[0] * scale)), max(1, round(picture[1] * scale))
        x = region.left + region.width / 2 - (left + right) / 2 * width
        y = region.top + region.height / 2 - (top + bottom) / 2 * height
        box = Box(round(x), round(y), round(x) + width, round(y) + height)
        covered = subject.within(_shares(words, box))
        lost = 1 - subject.within(_shares(Box(0, 0, *size), box))
        if covered <= MAX_OVERLAP and lost < 0.08:
            small = max(0.0, 0.5 - wide * scale * high * scale / (region.width * region.height))
            yield Layout("extend", box, words, covered, EXTEND_COST + cost + 3 * covered + 2 * lost + 0.2 * small)


def _bled(size: tuple[int, int], picture: tuple[int, int], subject: Subject) -> Iterator[Layout]:
    scale = max(size[0] / picture[0], size[1] / picture[1])
    if scale > MAX_ENLARGED:
        return
    width, height = max(size[0], round(picture[0] * scale)), max(size[1], round(picture[1] * scale))
    pad = round(0.065 * min(size))
    for step in range(5):
        # the crop slides along the side that is too long
        x, y = round((size[0] - width) * step / 4), round((size[1] - height) * step / 4)
        box = Box(x, y, x + width, y + height)
        lost = 1 - subject.within(_shares(Box(0, 0, *size), box))
        for words in _word_boxes(size, pad):
            covered = subject.within(_shares(words, box))
            if covered <= MAX_OVERLAP:
                room = words.width * words.height / (size[0] * size[1])
                cost = 4 * covered + 1.2 * lost + 0.35 * max(0.0, scale - 1.2) + 0.6 * max(0.0, 0.3 - room)
                yield Layout("bleed", box, words, covered, cost)


def _word_boxes(size: tuple[int, int], pad: int) -> Iterator[Box]:
    width, height = size
    for across in (0.36, 0.44, 0.52, 1.0):
        for down in (0.28, 0.36, 0.46, 1.0):
            if (across == 1.0) == (down == 1.0) and across == 1.0:
                continue
            wide, high = round((width - 2 * pad) * across), round((height - 2 * pad) * down)
            for left in dict.fromkeys((pad, width - pad - wide)):
                for top in dict.fromkeys((height - pad - high, pad)):
                    yield Box(left, top, left + wide, top + high)


def _shares(box: Box, picture: Box) -> tuple[float, float, float, float]:
    """A box in shares of a picture."""
    return (
        (box.left - picture.left) / picture.width,
        (box.top - picture.top) / picture.height,
        (box.right - picture.left) / picture.width,
        (box.bottom - picture.top) / picture.height,
    )
