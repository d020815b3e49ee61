"""Fonts of the machine: which of them have all letters of a text; one that lacks a letter is never used."""

from __future__ import annotations

import subprocess
import unicodedata
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from PIL import ImageFont, features

Weight = Literal["bold", "regular"]
FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts", "/System/Library/Fonts")
PREFERRED: dict[Weight, tuple[str, ...]] = {
    "bold": (
        "inter-bold", "inter-semibold", "opensans-bold", "notosans-bold", "lato-bold", "liberationsans-bold",
        "dejavusanscondensed-bold", "dejavusans-bold", "notosanscjk-bold", "notosansarabic-bold", "notosans",
    ),
    "regular": (
        "inter-regular", "opensans-regular", "notosans-regular", "lato-regular", "liberationsans-regular",
        "dejavusanscondensed", "dejavusans", "notosanscjk-regular", "notosansarabic-regular", "notosans",
    ),
}  # fmt: skip
"""Beginnings of file names, the best first; any other upright font comes after them."""
MAX_LOST = 0.3
"""Share of a text's letters that may be left out, such as emoji, before the text is not drawn at all."""


@lru_cache(1)
def font_files() -> tuple[Path, ...]:
    """Font files of the machine: as fontconfig lists them, else those of the usual folders."""
    try:
        listed = subprocess.run(["fc-list", "--format", "%{file}\n"], capture_output=True, text=True, timeout=10)
        paths = [Path(line) for line in listed.stdout.splitlines() if line]
    except (OSError, subprocess.SubprocessError):
        paths = []
    if not paths:
        paths = [path for folder in FOLDERS for path in Path(folder).expanduser().rglob("*.[to]t[fc]")]
    # Matplotlib brings DejaVu, which covers Latin, Greek, Cyrillic, Hebrew and Arabic, wherever Palate is installed
    spec = find_spec("matplotlib")
    if spec is not None and spec.origin is not None:
        paths += Path(spec.origin).parent.glob("mpl-data/fonts/ttf/*.ttf")
    return tuple(sorted({path for path in paths if path.suffix.lower() in (".ttf", ".otf", ".ttc")}))


@lru_cache(4)
def ranked(weight: Weight) -> tuple[Path, ...]:
    """Font files, the best for a weight first.

    Args:
        weight: of the letters.
    """

    def place(path: Path) -> tuple[int, bool, str]:
        name, preferred = path.stem.lower(), PREFERRED[weight]
        exact = name in preferred
        starts = next(
            (at for at, one in enumerate(preferred) if name == one or (not exact and name.startswith(one))), 99
        )
        return starts, ("bold" in name) != (weight == "bold"), name

    slanted = (
        "italic",
        "oblique",
        "mono",
        "math",
        "emoji",
        "symbol",
        "serif",
        "light",
        "cmr",
        "cmb",
        "cmex",
        "cmsy",
        "cmtt",
        "stix",
        "lastresort",
    )
    return tuple(sorted((p for p in font_files() if not any(s in p.stem.lower() for s in slanted)), key=place))


@lru_cache(maxsize=256)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """An opened font.

    Args:
        path: its file.
        size: in pixels.
    """
    engine = ImageFont.Layout.RAQM if features.check("raqm") else ImageFont.Layout.BASIC
    return ImageFont.truetype(str(path), size, layout_engine=engine)


@lru_cache(maxsize=65536)
def has_letter(path: Path, letter: str) -> bool:
    """Whether a font has a letter of its own, not the box that stands for missing ones.

    Args:
        path: file of the font.
        letter: one character.
    """
    if letter.isspace() or unicodedata.category(letter) in ("Mn", "Cf"):
        return True
    opened = font(path, 24)
    drawn, missing = opened.getmask(letter), _missing(path)
    return (drawn.size, bytes(drawn)) != missing and drawn.getbbox() is not None


@lru_cache(maxsize=256)
def _missing(path: Path) -> tuple[tuple[int, int], bytes]:
    mask = font(path, 24).getmask("\U0010fffe")
    return mask.size, bytes(mask)


@lru_cache(maxsize=4096)
def font_for(text: str, weight: Weight) -> tuple[Path, str] | None:
    """A font that has all letters of a text, and the text as it can be drawn.

    Args:
        text: the text.
        weight: of the letters.

    Returns:
        File of the font, and the text; a few letters that no font has, such as emoji, are left out of it. None where
        no font of the machine has its letters.
    """
    files = ranked(weight)
    for path in files:
        if all(has_letter(path, letter) for letter in text):
            return path, text
    best = max(files, key=lambda path: sum(has_letter(path, letter) for letter in text), default=None)
    if best is None:
        return None
    kept = " ".join("".join(letter for letter in text if has_letter(best, letter)).split())
    solid = sum(not letter.isspace() for letter in text)
    lost = solid - sum(not letter.isspace() for letter in kept)
    return (best, kept) if any(map(str.isalnum, kept)) and lost <= MAX_LOST * solid else None
