"""Fonts of the machine: which of them have all letters of a text; one that lacks a letter is never used."""

from __future__ import annotations

import subprocess
import unicodedata
from functools import lru_cache
from importlib.metadata import entry_points
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
PACKAGES = ("fontpkg.family", "fonts_ttf")
"""Groups of entry points by which installed Python packages say that they bring fonts."""
NEVER = ("italic", "oblique", "math", "emoji", "symbol", "cmr", "cmb", "cmex", "cmsy", "cmtt", "stix", "lastresort")
LAST = ("serif", "mono", "light", "thin")
"""Parts of file names of fonts that are not taken, and of those that are taken where no other has the letters."""
SHAPED = ((0x0590, 0x109F), (0x1780, 0x17FF), (0x1A00, 0x1AAF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFC))
"""Scripts that are wrong without shaping: from right to left, or with letters that change by their neighbours."""
CJK = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO")


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
    paths += _packaged("matplotlib", "mpl-data/fonts/ttf/*.ttf")
    modules = {entry.value.partition(":")[0] for group in PACKAGES for entry in entry_points(group=group)}
    paths += [path for module in sorted(modules) for path in _packaged(module.partition(".")[0], "**/*.[to]t[fc]")]
    return tuple(sorted({path for path in paths if path.suffix.lower() in (".ttf", ".otf", ".ttc")}))


def _packaged(module: str, pattern: str) -> list[Path]:
    """Fonts in the folder of a package, which is not imported."""
    spec = find_spec(module)
    return [] if spec is None or spec.origin is None else list(Path(spec.origin).parent.glob(pattern))


@lru_cache(4)
def ranked(weight: Weight) -> tuple[Path, ...]:
    """Font files, the best for a weight first.

    Args:
        weight: of the letters.
    """

    def place(path: Path) -> tuple[bool, int, bool, str]:
        name, preferred = path.stem.lower(), PREFERRED[weight]
        exact = name in preferred
        starts = next(
            (at for at, one in enumerate(preferred) if name == one or (not exact and name.startswith(one))), 99
        )
        return any(part in name for part in LAST), starts, ("bold" in name) != (weight == "bold"), name

    return tuple(sorted((p for p in font_files() if not any(part in p.stem.lower() for part in NEVER)), key=place))


@lru_cache(1)
def shapes() -> bool:
    """Whether this Pillow shapes texts, by raqm."""
    return bool(features.check("raqm"))


def needs_shaping(text: str) -> bool:
    """Whether a text is wrong without shaping.

    Args:
        text: the text.
    """
    return any(low <= ord(letter) <= high for letter in text for low, high in SHAPED)


@lru_cache(maxsize=256)
def font(path: Path, size: int) -> ImageFont.FreeTypeFont:
    """An opened font.

    Args:
        path: its file.
        size: in pixels.
    """
    engine = ImageFont.Layout.RAQM if shapes() else ImageFont.Layout.BASIC
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
        no font of the machine has its letters, or they need shaping and this Pillow has none.
    """
    if not shapes():
        if needs_shaping(text):
            return None
        # marks of direction would be drawn as boxes
        text = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
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


def left_out(text: str, drawn: str) -> str:
    """Letters of a text that are not in what is drawn of it, each once.

    Args:
        text: the text.
        drawn: of :func:`font_for`.
    """
    lost = (letter for letter in dict.fromkeys(text) if letter not in drawn and not letter.isspace())
    return "".join(letter for letter in lost if unicodedata.category(letter) != "Cf")


def what_to_install(text: str, weight: Weight = "regular") -> str:
    """Why a text cannot be drawn, and what would help.

    Args:
        text: one for which :func:`font_for` gives None.
        weight: of the letters.
    """
    if needs_shaping(text) and not shapes():
        return "this Pillow has no raqm, which shapes the letters: install libraqm"
    letters = [letter for letter in text if letter.isalnum()]
    lost = next((one for one in letters if not any(has_letter(path, one) for path in ranked(weight))), None)
    if lost is None:
        return "no font of this machine has all of its letters: install fonts-noto"
    script = unicodedata.name(lost, "UNKNOWN").split()[0].split("-")[0]
    if script in CJK:
        return "no font of this machine has the letters of Chinese, Japanese or Korean: install fonts-noto-cjk"
    name = script.lower()
    return (
        f"no font of this machine has {script.title()} letters: install fonts-noto-core, "
        f"or the Python package fontpkg-noto-sans-{name}"
    )
