"""Photos of garments by kind, the parts that came with them, and linear judges of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from _common import WORK, real
from palate.core.files import digest, file_digest
from palate.core.progress import track
from palate.features.encoders.efficientnet_lite0 import EfficientNetLite0
from palate.features.encoders.lite0_network import load_lite0
from palate.features.media import open_image

Floats = NDArray[np.float64]
KINDS = {"longsleeve": "long sleeve shirt", "outwear": "outerwear"}
"""Kinds whose folder's name is no English word -> what people would type."""
RIDGES = (1e-2, 1e-1, 1.0)
SHRINKAGES = (0.1, 0.2, 0.3, 0.5)
VIEWS = {"mean": (False, 224), "flipped": (True, 224), "larger": (False, 288)}
"""View of a picture -> whether it is flipped, and the side of the square."""


@dataclass(frozen=True)
class Garments:
    """The photos.

    Attributes:
        files: sorted.
        part: train, validation or test of each.
        kind: of each, as words.
    """

    files: list[Path]
    part: NDArray[np.str_]
    kind: NDArray[np.str_]

    @classmethod
    def load(cls) -> Garments:
        files = sorted(real("clothing-cc0").glob("*/*/*.jpg"))
        kinds = [KINDS.get(file.parts[-2], file.parts[-2]) for file in files]
        return cls(files, np.array([file.parts[-3] for file in files]), np.array(kinds))

    @property
    def hash(self) -> str:
        """Of names and content."""
        return digest(*(f"{'/'.join(file.parts[-3:])}:{file_digest(file)}" for file in self.files))


def view_vectors(garments: Garments, view: str) -> Floats:
    """Means and, next to them, maxima over the last map of EfficientNet-Lite0, [n, 2560]; kept under PALATE_WORK."""
    file = WORK / "pictures" / f"{view}-{garments.hash[:12]}.npy"
    if file.is_file():
        return np.load(file)
    flip, side = VIEWS[view]
    network, reader, rows = load_lite0().layers, EfficientNetLite0(framing="square"), []
    for path in track(garments.files, f"view {view}"):
        if side == 224:
            (pixels,) = reader.read(path)
        else:
            picture = open_image(path)
            short = min(picture.size)
            box = ((picture.width - short) / 2, (picture.height - short) / 2)
            square = (*box, box[0] + short, box[1] + short)
            pixels = np.array(picture.resize((side, side), Image.Resampling.BICUBIC, square))
        pixels = np.ascontiguousarray(pixels[:, ::-1]) if flip else pixels
        with torch.inference_mode():
            maps = network((torch.from_numpy(pixels)[None].permute(0, 3, 1, 2).float() - 127) / 128)
        rows.append(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], 1)[0].numpy())
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, np.array(rows))
    return np.array(rows)


def ridge(known: Floats, kinds: NDArray[np.int64], asked: Floats, penalty: float) -> NDArray[np.int64]:
    """Kinds by a ridge classifier on standardised vectors."""
    mean, scale = known.mean(0), known.std(0) + 1e-6
    a, b = (known - mean) / scale, (asked - mean) / scale
    hot = np.eye(kinds.max() + 1)[kinds]
    maps = np.linalg.solve(a.T @ a + penalty * len(a) * np.eye(a.shape[1]), a.T @ (hot - hot.mean(0)))
    return (b @ maps).argmax(1)


def discriminant(known: Floats, kinds: NDArray[np.int64], asked: Floats, shrinkage: float) -> NDArray[np.int64]:
    """Kinds by linear discriminant analysis, the covariance shrunk towards a multiple of the identity."""
    means = np.array([known[kinds == kind].mean(0) for kind in range(kinds.max() + 1)])
    rest = known - means[kinds]
    within = rest.T @ rest / len(rest)
    within = (1 - shrinkage) * within + shrinkage * np.trace(within) / len(within) * np.eye(len(within))
    maps = np.linalg.solve(within, means.T)
    offsets = np.log(np.bincount(kinds) / len(kinds)) - (means.T * maps).sum(0) / 2
    return (asked @ maps + offsets).argmax(1)
