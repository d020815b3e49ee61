"""ImageBind: sounds and words compared through pictures, without common training; content aligned with behaviour."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

import palate
from _common import real
from _points import Point, cold_recall, shop, unseen, vectors
from palate.contracts import Pretrainer
from palate.core.encoder import Encoder
from palate.data.dataset import Dataset

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MAX_ITEMS, SIDE = 1000, 32
SIZES = "imagebind:epochs=25;dim=64;layers=1;anchor=image"
BEHAVIOUR = "imagebind:epochs=25;dim=32;width=32;layers=1;lr=0.003;batch_size=128;patience=25;anchor=id"


def digits(seed: int, effect: bool) -> Dataset | None:
    """Spoken digits, pictures of the digit at random size, place and colour, and its name; there are no clicks."""
    if not effect:
        return None
    files = sorted(real("spoken-digits").glob("recordings/*.wav"))
    rng = np.random.default_rng(seed)
    files = [files[i] for i in np.sort(rng.permutation(len(files))[:MAX_ITEMS])]
    values = [int(file.stem.partition("_")[0]) for file in files]
    names = [file.stem for file in files]
    items = pl.DataFrame(
        {
            "item": names,
            "sound": [str(file) for file in files],
            "picture": [draw_digit(value, rng) for value in values],
            "name": [NAMES[value] for value in values],
        }
    )
    log = pl.DataFrame({"user": [f"u{i}" for i in range(len(files))], "item": names})
    columns = {"item": "id", "sound": "audio", "picture": "image", "name": "text"}
    return palate.Dataset.from_frames(items, log, columns=columns, split=f"item_cold:seed={seed}")


def draw_digit(value: int, rng: np.random.Generator) -> bytes:
    """PNG of a digit."""
    ground, ink = rng.integers(0, 100, 3), rng.integers(150, 256, 3)
    image = Image.new("RGB", (SIDE, SIDE), tuple(map(int, ground)))
    place = tuple(map(float, rng.uniform(2, 12, 2)))
    font = ImageFont.load_default(float(rng.uniform(16, 24)))
    ImageDraw.Draw(image).text(place, str(value), tuple(map(int, ink)), font)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def name_accuracy(model: Pretrainer, encoders: Mapping[str, Encoder], data: Dataset, seed: int) -> NDArray[np.float64]:
    """1 if the nearest of the ten names to a new sound is its own, else 0."""
    new = unseen(data)
    sounds = vectors(encoders["audio"], "audio", data, new).values
    nearest = (sounds @ encoders["text"].encode(list(NAMES)).values.T).argmax(1)
    truth = data.items.frame["name"].to_list()
    return np.array([NAMES[name] == truth[row] for name, row in zip(nearest, new)], np.float64)


POINTS = [
    Point(
        system="imagebind",
        claim="Sounds and words that were never trained together are comparable through pictures",
        data=digits,
        whole=SIZES,
        ablation=f"{SIZES};shuffled=true",
        judge=name_accuracy,
        supervision="self",
        readers={"image": f"pixels?side={SIDE}", "text": "pieces?size=60&length=8", "audio": "mel?bands=32&seconds=1"},
        real=True,
    ),
    Point(
        system="imagebind",
        claim="With what people took as the hub, words and pictures tell who takes a new item",
        data=shop,
        whole=BEHAVIOUR,
        ablation=f"{BEHAVIOUR};shuffled=true",
        judge=cold_recall("text", "image"),
        supervision="full",
        readers={"image": "pixels?side=32", "text": "pieces?length=32"},
    ),
]
