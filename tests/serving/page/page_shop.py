"""A small shop with odd titles: its runs, and ids of items by what is odd about them."""

import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from palate.serving.service import RecommenderService

HOSTILE = '<x-lamp onclick=alert("lamp")>'
RTL = "مصباح نحاسي صغير للمكتب"
LONG = "Aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa and so on " * 2


@dataclass(frozen=True)
class FittedShop:
    """A run, another run to compare it with, ids of items by what is odd about them, and a user that the runs know."""

    run: Path
    other_run: Path
    hostile: str
    rtl: str
    long: str
    bare: str
    plain: str
    user: str


@dataclass(frozen=True)
class Served:
    url: str
    service: RecommenderService


def painted(colour=(40, 160, 220), side=48) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()
