"""Drawn pictures of garments: is the kind recognised, how far are they from real photos, are they copies?"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

import palate
from _common import RESULTS, ROOT, WORK, keep
from _drawing import Bytes, Reals, once, peak_signal, png, reconstructed, sheet, table, trained
from _garments import Garments
from palate.contracts import PicturePrompt
from palate.core.files import read_json
from palate.core.progress import track
from palate.core.seeding import rng_for
from palate.data.dataset import Dataset
from palate.evaluation.runs import command_line
from palate.features.media import open_image
from palate.generation.drawing.painter import Painter, read_pixels
from palate.generation.drawing.weights import read_picture_model
from palate.generation.scoring.picture_space import Floats, PictureSpace
from palate.generation.scoring.pictures import frechet_distance, kernel_distance
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.training.saving import versions

SIDE = 32
SCALES = (1.0, 2.0, 3.0, 5.0)
RIDGE = 0.1
SETTINGS: dict[str, Any] = {"channels": 32, "depth": 4, "words": 0}


def small(garments: Garments) -> list[bytes]:
    """The photos at the size that is drawn, the middle square of each."""
    out = []
    for file in track(garments.files, "photos"):
        image = open_image(file.read_bytes())
        short = min(image.size)
        left, top = (image.width - short) // 2, (image.height - short) // 2
        square = image.crop((left, top, left + short, top + short))
        out.append(png(square.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=2.0)))
    return out


def data_of(photos: list[bytes], kinds: list[str]) -> Dataset:
    """The photos as items of a catalogue that two people took at random; what they took is not learnt from."""
    items = pl.DataFrame({"item": [f"g{at:04}" for at in range(len(photos))], "kind": kinds, "photo": photos})
    log = pl.DataFrame({"user": ["a", "a", "a", "b", "b", "b"], "item": [f"g000{at}" for at in range(6)]})
    columns = {"item": "id", "kind": "attributes", "photo": "image"}
    return palate.Dataset.from_frames(items, log, columns=columns, split="random:valid=0.01,test=0.01", name="garments")


class Judge:
    """Ridge regression of kinds on vectors of EfficientNet-Lite0, of photos at the size that is drawn."""

    def __init__(self, vectors: Floats, kinds: NDArray[np.str_]) -> None:
        self.kinds = np.unique(kinds)
        self.mean = vectors.mean(0)
        x, wanted = vectors - self.mean, (kinds[:, None] == self.kinds).astype(np.float64)
        gram = x.T.astype(np.float64) @ x
        penalty = RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
        self.offset = wanted.mean(0)
        self.weights = np.linalg.solve(gram + penalty, x.T @ (wanted - self.offset))

    def accuracy(self, vectors: Floats, kinds: NDArray[np.str_]) -> float:
        """Share of pictures whose kind is read."""
        scores = (vectors - self.mean) @ self.weights + self.offset
        return float((self.kinds[scores.argmax(1)] == kinds).mean())


def encoded(pixels: Bytes) -> list[bytes]:
    return [png(Image.fromarray(one.transpose(1, 2, 0))) for one in pixels]


def nearest(vectors: Floats, others: Floats) -> Reals:
    """Greatest cosine of each picture with any of the others."""
    return (vectors @ others.T).max(1).astype(np.float64)


def run(args: argparse.Namespace) -> None:
    work = WORK / "drawing" / f"clothing-{args.epochs}"
    garments = Garments.load()
    photos = small(garments)
    learnt, test = np.flatnonzero(garments.part == "train"), np.flatnonzero(garments.part == "test")
    data = data_of([photos[at] for at in learnt], garments.kind[learnt].tolist())
    base = work / "base"
    seconds = trained(
        base, LatentDiffusion(epochs=args.epochs, tokenizer_epochs=args.tokenizer_epochs, **SETTINGS), data
    )
    painter, space = Painter(read_picture_model(base), steps=args.steps), PictureSpace()
    file = work.parent / f"garments-{SIDE}-{space.name}.npy"
    if not file.is_file():
        np.save(file, space.vectors(photos))
    vectors = np.load(file)
    judge = Judge(vectors[learnt], garments.kind[learnt])
    kinds, pixels = garments.kind[test], np.stack([read_pixels(photos[at], SIDE) for at in test])

    def measure(made: Floats) -> dict[str, float]:
        return {
            "kind read": judge.accuracy(made, kinds),
            "Frechet": frechet_distance(made, vectors[test]),
            "kernel x 1000": 1000 * kernel_distance(made, vectors[test]),
            "nearest training photo": float(nearest(made, vectors[learnt]).mean()),
        }

    def drawn(scale: float, seed: int) -> dict[str, float]:
        prompts = [PicturePrompt([(f"kind={kind}", 1.0)], guidance=scale) for kind in kinds]
        parts = [painter.pixels(prompts[at : at + 4], seed=1000 * seed + at) for at in range(0, len(prompts), 4)]
        return measure(space.vectors(encoded(np.concatenate(parts))))

    def real(seed: int) -> dict[str, float]:
        """Training photos of the kinds of the test, as many: the floor of the distances."""
        rng = rng_for(seed, "floor")
        rows = [int(rng.choice(learnt[garments.kind[learnt] == kind])) for kind in kinds]
        found = measure(vectors[rows])
        # each is its own nearest
        others = np.setdiff1d(learnt, rows)
        return found | {"nearest training photo": float(nearest(vectors[rows], vectors[others]).mean())}

    noise = rng_for(0, "noise").integers(0, 256, pixels.shape).astype(np.uint8)
    back = reconstructed(painter.model.network, pixels)
    rows: list[dict[str, Any]] = [
        row("real test photos", [measure(vectors[test])]),
        row("real training photos of the same kinds", [real(seed) for seed in range(args.seeds)]),
        row(
            "test photos through the autoencoder",
            [once(work / "back.json", lambda: measure(space.vectors(encoded(back))))],
        ),
    ]
    scores = {}
    for scale in SCALES:
        scores[scale] = [
            once(work / "scores" / f"{scale:g}-{seed}.json", lambda scale=scale, seed=seed: drawn(scale, seed))
            for seed in range(args.seeds if scale == args.guidance else 1)
        ]
        rows.append(row(f"drawn, guidance {scale:g}", scores[scale]))
    rows.append(row("noise", [once(work / "noise.json", lambda: measure(space.vectors(encoded(noise))))]))
    values = sorted(set(kinds))
    shown = [
        painter.pixels([PicturePrompt([(f"kind={kind}", 1.0)], guidance=args.guidance) for kind in values], seed=at)
        for at in range(6)
    ]
    sheet(ROOT / "docs" / "pictures" / "drawing_garments.jpg", shown, 2)
    sheet(work / "reconstructed.png", [pixels[:20], back[:20]])
    result = {
        "rows": rows, "scores": scores, "reconstruction, dB": peak_signal(back, pixels), "test photos": len(test),
        "parameters": sum(one.numel() for one in painter.model.network.parameters()), "cpu_seconds": seconds,
        "space": space.name, "data": garments.hash, "arguments": vars(args), "settings": SETTINGS,
        "seeds": list(range(args.seeds)), "versions": versions(), "command": command_line(),
    }  # fmt: skip
    keep("drawing_clothing", result, page(result))


def tables() -> None:
    """The table again, from the result file."""
    result = read_json(RESULTS / "drawing_clothing.json")
    keep("drawing_clothing", result, page(result))


def row(name: str, many: list[dict[str, float]]) -> dict[str, Any]:
    """Means over draws, and the spread of the share that is read."""
    spread = float(np.std([one["kind read"] for one in many], ddof=1)) if len(many) > 1 else None
    means = {key: float(np.mean([one[key] for one in many])) for key in many[0]}
    return {"pictures": name, **means, "draws": len(many), "deviation of kind read": spread}


def page(result: dict[str, Any]) -> str:
    """The table."""
    spent = ", ".join(f"{phase} {seconds:,.0f} s" for phase, seconds in result["cpu_seconds"].items())
    return "\n".join([
        "# Drawn garments (clothing-cc0)",
        f"\nAs many pictures of each kind as among the {result['test photos']} test photos, {SIDE} pixels, "
        f"{result['parameters']:,} parameters; training on one processor core: {spent}. Reconstructions of test "
        f"photos: {result['reconstruction, dB']:.1f} dB. Vectors of {result['space']}; kinds, ten of them, are read by "
        "ridge regression on training photos of the same size. Nearest training photo: the greatest cosine; a copy "
        "would have 1. The judge learnt from the training photos, so that the share of the test photos is the ceiling. "
        f"{result['arguments']['seeds']} seeds of guidance {result['arguments']['guidance']:g}, one draw of the "
        "others.\n",
        table(result["rows"]),
    ]) + "\n"  # fmt: skip
