"""Text in a box: the largest size that fits, lines of even length, an ellipsis only where nothing else helps."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, replace
from pathlib import Path

from palate.generation.compose.fonts import Weight, font, font_for, left_out

LEADING = 1.16
"""Distance of lines, in sizes of the font."""
_WIDE = re.compile("([\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af])")


@dataclass(frozen=True)
class Fitted:
    """A text that fits its box.

    Attributes:
        lines: from top to bottom.
        path: file of the font.
        size: of the font, in pixels.
        width: of the widest line, in pixels.
        cut: whether it ends with an ellipsis.
        lost: letters that no font has, which are left out.
    """

    lines: tuple[str, ...]
    path: Path
    size: int
    width: int
    cut: bool = False
    lost: str = ""

    @property
    def height(self) -> int:
        """Height of all lines, in pixels."""
        return round(self.size * (LEADING * (len(self.lines) - 1) + 1.1))

    @property
    def right_to_left(self) -> bool:
        """Whether its first letter is of a script that runs from right to left."""
        kinds = (unicodedata.bidirectional(letter) for line in self.lines for letter in line)
        return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


def fit(text: str, weight: Weight, width: int, height: int, largest: int, least: int, lines: int) -> Fitted | None:
    """Fit a text into a box.

    Args:
        text: one line.
        weight: of the letters.
        width: of the box, in pixels.
        height: the same.
        largest: size of the font, at most.
        least: size of the font, at least.
        lines: at most.

    Returns:
        The text in its lines; None where no font has its letters.
    """
    found = font_for(text, weight)
    if found is None or not found[1]:
        return None
    path, drawn = found
    low, high, best = least, max(least, largest), None
    while low <= high:
        size = (low + high) // 2
        tried = _wrapped(drawn, path, size, width, height, lines)
        if tried is None:
            high = size - 1
        else:
            low, best = size + 1, tried
    best = best or _cut(drawn, path, least, width, height, lines)
    return best if best is None or drawn == text else replace(best, lost=left_out(text, drawn))


def _wrapped(text: str, path: Path, size: int, width: int, height: int, most: int) -> Fitted | None:
    opened = font(path, size)
    pieces = [(piece, opened.getlength(piece)) for piece in _pieces(text)]
    allowed = min(most, int((height / size - 1.1) / LEADING) + 1)
    if allowed < 1 or max(length for _, length in pieces) > width:
        return None
    space = opened.getlength(" ")
    lines = _greedy(pieces, width, space)
    if len(lines) > allowed:
        return None
    low, high = width // (len(lines) + 1), width
    while low < high:
        # the narrowest box with as many lines makes them even
        middle = (low + high) // 2
        if max(length for _, length in pieces) <= middle and len(_greedy(pieces, middle, space)) <= len(lines):
            high = middle
        else:
            low = middle + 1
    lines = _greedy(pieces, high, space)
    widest = max(opened.getlength(line) for line in lines)
    return Fitted(tuple(lines), path, size, round(widest)) if widest <= width else None


def _greedy(pieces: list[tuple[str, float]], width: float, space: float) -> list[str]:
    lines, used = [""], 0.0
    for piece, length in pieces:
        gap = space if lines[-1] and not (_WIDE.match(piece) and _WIDE.match(lines[-1][-1])) else 0.0
        if lines[-1] and used + gap + length > width:
            lines.append(piece)
            used = length
        else:
            lines[-1] += (" " if gap else "") + piece
            used += gap + length
    return lines


def _pieces(text: str) -> list[str]:
    """Words; letters of scripts without spaces can be parted anywhere."""
    return [piece for word in text.split() for piece in _WIDE.split(word) if piece]


def _cut(text: str, path: Path, size: int, width: int, height: int, lines: int) -> Fitted | None:
    """As many letters as fit at the least size, then an ellipsis; a word that is too long is parted."""
    words = []
    opened = font(path, size)
    for word in text.split():
        while opened.getlength(word) > width and len(word) > 1:
            part = next((n for n in range(len(word) - 1, 0, -1) if opened.getlength(word[:n]) <= width), 1)
            words.append(word[:part])
            word = word[part:]
        words.append(word)
    if whole := _wrapped(" ".join(words), path, size, width, height, lines):
        return whole
    letters = " ".join(words)
    low, high, best = 1, len(letters), None
    while low <= high:
        middle = (low + high) // 2
        tried = _wrapped(letters[:middle].rstrip() + "…", path, size, width, height, lines)
        if tried is None:
            high = middle - 1
        else:
            low, best = middle + 1, Fitted(tried.lines, path, size, tried.width, True)
    return best
