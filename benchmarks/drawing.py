"""Pictures that are drawn here: do they show what was asked for, and do they lean towards their user's taste?

    python benchmarks/drawing.py shop [--items 3000] [--epochs 60] [--users 60] [--seeds 3]

A simulated shop, whose pictures show colour, pattern and shape by known rules. A network that was trained on pictures
of another world with their true values reads values back; its own accuracy on real pictures is the ceiling, its
accuracy on pictures drawn without any condition the chance. Two tables:

- read-back: of pictures drawn with one value of an attribute as their only condition, the share in which it is read;
- taste: rows none, copy nearest history, Textual Inversion, PMG by keywords alone, PMG, for users and items that they
  did not take; d_p is the probability that is read for the user's favourite values (by lift of the history), d_t for
  the item's values, both side by side, and z = 2/3 log d_p + 1/3 log d_t; for PMG a curve over w_p.

Pictures of both are kept under ``PALATE_WORK``. Written: ``results/drawing_shop.*``.
"""

from __future__ import annotations

import argparse
import io
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import palate
from _common import WORK, keep
from palate.contracts import GenerationRequest, Generator, PicturePrompt
from palate.core.progress import set_mode, track
from palate.core.seeding import rng_for, seed_torch
from palate.data.dataset import Dataset
from palate.generation.drawing.painter import Painter, read_pixels
from palate.generation.drawing.train import train_pictures
from palate.generation.drawing.weights import read_picture_model
from palate.generation.scoring.picture_space import PictureSpace, copy_nearest
from palate.models.generate.latent_diffusion import LatentDiffusion
from palate.models.generate.pmg import PMG
from palate.models.generate.textual_inversion import TextualInversion
from palate.modules.diffusion.network import from_bytes
from palate.simulation.world import World
from palate.training.saving import versions

COLUMNS = ("colour", "pattern", "shape")
SIDE = 32
RATIOS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
ALPHA = 2 / 3
Reals = NDArray[np.float64]


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def pictures(world: World) -> list[bytes]:
    return [png(world.picture(row, 64)) for row in track(range(len(world.items)), "pictures of the world")]


def shop(world: World, shown: list[bytes]) -> Dataset:
    """The catalogue with the values that pictures show as attributes, and what people took."""
    values = world.truth.attributes.select("item_id", *COLUMNS)
    items = values.with_columns(picture=pl.Series(shown))
    log = world.interactions.select("user_id", "item_id", "timestamp").unique(["user_id", "item_id"], keep="first")
    kinds = {"item_id": "id", "picture": "image", **dict.fromkeys(COLUMNS, "attributes")}
    return palate.Dataset.from_frames(items, log.sort("timestamp"), columns=kinds, split="leave_one_out", name="shop")


@dataclass
class Reader:
    """Reads values from pictures; trained on another world."""

    values: dict[str, list[str]]
    network: nn.Module

    @classmethod
    def train(cls, world: World, shown: list[bytes], epochs: int) -> tuple[Reader, dict[str, float]]:
        """The reader and its accuracy on the last fifth of the pictures."""
        table = world.truth.attributes
        values = {column: sorted(table[column].unique()) for column in COLUMNS}
        targets = torch.tensor(
            [[values[c].index(v) for c, v in zip(COLUMNS, row)] for row in table[COLUMNS].iter_rows()]
        )
        pixels = torch.from_numpy(np.stack([read_pixels(one, SIDE) for one in shown]))
        widths = [len(values[column]) for column in COLUMNS]
        seed_torch(0, "reader")
        layers: list[nn.Module] = []
        for before, after in ((3, 32), (32, 64), (64, 96)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        network = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(96 * 16, sum(widths)))
        reader, cut = cls(values, network), len(pixels) * 4 // 5
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
        steps = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * (cut // 64))
        for _ in track(range(epochs), "reader"):
            order = torch.randperm(cut)
            for start in range(0, cut // 64 * 64, 64):
                rows = order[start : start + 64]
                # shifted by up to two pixels, so that it does not learn places by heart
                moved = torch.roll(
                    from_bytes(pixels[rows]), tuple(np.random.default_rng(start).integers(-2, 3, 2)), (2, 3)
                )
                parts = network(moved).split(widths, 1)
                loss = sum(F.cross_entropy(part, targets[rows, at]) for at, part in enumerate(parts))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps.step()
        network.eval()
        found = reader.read(pixels[cut:].numpy())
        right = {c: float((found[c].argmax(1) == targets[cut:, at].numpy()).mean()) for at, c in enumerate(COLUMNS)}
        return reader, right

    @torch.no_grad()
    def read(self, pixels: NDArray[np.uint8]) -> dict[str, Reals]:
        """Column -> probabilities [n, values]."""
        logits = self.network(from_bytes(torch.from_numpy(np.ascontiguousarray(pixels))))
        parts = logits.split([len(self.values[column]) for column in COLUMNS], 1)
        return {column: part.softmax(1).double().numpy() for column, part in zip(COLUMNS, parts)}


def sheet(file: Path, rows: list[NDArray[np.uint8]], scale: int = 3) -> None:
    """Pictures in rows."""
    tall = [np.concatenate(list(row.transpose(0, 2, 3, 1)), 1) for row in rows]
    image = Image.fromarray(np.concatenate(tall, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(file)


def read_back(painter: Painter, reader: Reader, seeds: int, guidance: float, folder: Path) -> list[dict[str, Any]]:
    """Share of pictures in which the one value that was asked for is read, beside pictures drawn without condition."""
    free = np.concatenate([painter.pixels([PicturePrompt(guidance=1.0)], seed=1000 + s) for s in range(8 * seeds)])
    rows, chance = [], reader.read(free)
    for column in COLUMNS:
        values, shown, right, some = reader.values[column], [], [], []
        for seed in range(4 * seeds):
            prompts = [PicturePrompt([(f"{column}={value}", 1.0)], guidance=guidance) for value in values]
            drawn = painter.pixels(prompts, seed=seed)
            right.append((reader.read(drawn)[column].argmax(1) == np.arange(len(values))).mean())
            shown.append(drawn)
        by_chance = np.bincount(chance[column].argmax(1), minlength=len(values)).max() / len(free)
        some = {"attribute": column, "read back": float(np.mean(right)), "deviation over seeds": float(np.std(right))}
        rows.append(some | {"unconditional, commonest value": float(by_chance), "chance": 1 / len(values)})
        sheet(folder / f"read_back_{column}.png", shown[:4])
    return rows


def requests(data: Dataset, world: World, shown: list[bytes], n: int, seed: int) -> list[GenerationRequest]:
    """Users with at least four items, and an item that each did not take."""
    view, frame, rng = data.select_view(), data.items.frame, rng_for(seed, "requests")
    users = np.flatnonzero(view.history.lengths >= 4)
    made = []
    for user in rng.permutation(users)[:n]:
        rows = view.history[int(user)][-12:]
        item = int(rng.choice(np.setdiff1d(np.arange(len(frame)), view.history[int(user)])))
        records = [{k: v for k, v in frame.row(int(r), named=True).items() if k != "picture"} for r in (*rows, item)]
        images = {str(one["item_id"]): frame["picture"][int(r)] for one, r in zip(records, (*rows, item))}
        made.append(GenerationRequest("product_picture", records[-1], records[:-1], images=images, size=(SIDE, SIDE)))
    return made


def favourites(model: PMG, asked: list[GenerationRequest]) -> list[dict[str, str]]:
    """Column -> the value that each user's history lifts most."""
    from palate.generation.drawing.taste import read_taste

    out = []
    for request in asked:
        words = read_taste(request, model.open().model, model.shares, 12, 0).words
        out.append({c: v for c, v in [phrase.split("=") for phrase, _ in reversed(words)]})
    return out


def judge(reader: Reader, drawn: list[bytes], asked: list[GenerationRequest], liked: list[dict[str, str]]) -> dict:
    """Means of d_p, d_t and z over users, and z itself."""
    found = reader.read(np.stack([read_pixels(one, SIDE) for one in drawn]))

    def probability(at: int, wanted: dict[str, str]) -> float:
        read = [found[c][at, reader.values[c].index(v)] for c, v in wanted.items() if c in COLUMNS]
        return float(np.mean(read)) if read else float("nan")

    d_p = np.array([probability(at, one) for at, one in enumerate(liked)])
    d_t = np.array([probability(at, {c: str(one.item[c]) for c in COLUMNS}) for at, one in enumerate(asked)])
    z = ALPHA * np.log(np.maximum(d_p, 1e-6)) + (1 - ALPHA) * np.log(np.maximum(d_t, 1e-6))
    return {"d_p": float(np.nanmean(d_p)), "d_t": float(np.nanmean(d_t)), "z": float(np.nanmean(z))}


def taste(
    data: Dataset, world: World, shown: list[bytes], base: Path, personal: Path, reader: Reader, args: Any
) -> Any:
    """Rows of the systems and the curve over w_p, over seeds."""
    settings = {"guidance": args.guidance}
    space, rows, curve = PictureSpace("image_stats"), {}, {}
    for seed in range(args.seeds):
        asked = requests(data, world, shown, args.users, seed)
        pmg = PMG(weights=str(personal), space=space.name, **settings)
        liked = favourites(pmg, asked)

        def add(name: str, drawn: list[bytes], into: dict = rows, asked: Any = asked, liked: Any = liked) -> None:
            into.setdefault(name, []).append(judge(reader, drawn, asked, liked))

        def made(model: Generator, asked: Any = asked, seed: int = seed) -> list[bytes]:
            return [one.image or b"" for one in model.generate(asked, seed=seed)]

        add("none", made(LatentDiffusion(weights=str(base), **settings)))
        copies = []
        for one in asked:
            own = [one.images[str(record["item_id"])] for record in one.history]
            copies.append(own[copy_nearest(space, one.images[str(one.item["item_id"])], own)])
        add("copy nearest history", copies)
        for weight in (0.5, 1.0, 2.0):
            model = TextualInversion(weights=str(base), token_weight=weight, inversion_steps=args.inversion, **settings)
            add(f"Textual Inversion, weight {weight:g}", made(model))
        for soft, name in ((False, "keywords alone"), (True, "keywords and soft tokens")):
            for ratio in RATIOS:
                model = PMG(weights=str(personal), ratios=(ratio,), soft=soft, space=space.name, **settings)
                add(f"{name}, w_p {ratio:g}", made(model), curve)
        add("PMG, best z of these", made(PMG(weights=str(personal), ratios=RATIOS, space=space.name, **settings)))
    return [_mean(name, many) for name, many in rows.items()], [_mean(name, many) for name, many in curve.items()]


def _mean(name: str, many: list[dict[str, float]]) -> dict[str, Any]:
    return (
        {"system": name}
        | {key: round(float(np.mean([one[key] for one in many])), 4) for key in many[0]}
        | {"z by seed": [round(one["z"], 4) for one in many]}
    )


def table(rows: list[dict[str, Any]]) -> str:
    head = list(rows[0])
    lines = [" | ".join(head), " | ".join("---" for _ in head)]
    for row in rows:
        cells = [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values()]
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def run_shop(args: argparse.Namespace) -> None:
    started = time.perf_counter()
    work = WORK / "drawing" / f"shop-{args.items}-{args.epochs}-{args.tokenizer_epochs}"
    world = World.make("shop", seed=401, n_items=args.items, n_users=2000, image_size=64)
    other = World.make("shop", seed=402, n_items=args.items, n_users=50, image_size=64)
    reader, ceiling = Reader.train(other, pictures(other), args.reader_epochs)
    shown = pictures(world)
    data = shop(world, shown)
    base, personal = work / "base", work / "personal"
    seconds = {}
    if not (base / "picture_model.json").is_file():
        begun = time.process_time()
        model = LatentDiffusion(epochs=args.epochs, tokenizer_epochs=args.tokenizer_epochs)
        train_pictures(model, data, base, checkpoint=work / "base.safetensors")
        seconds["diffusion, processor"] = time.process_time() - begun
    if not (personal / "picture_model.json").is_file():
        begun = time.process_time()
        model = PMG(weights=str(base), epochs=args.pmg_epochs)
        train_pictures(model, data, personal, checkpoint=work / "personal.safetensors")
        seconds["preference tokens, processor"] = time.process_time() - begun
    painter = Painter(read_picture_model(base))
    back = read_back(painter, reader, args.seeds, args.guidance, work)
    for row in back:
        row["ceiling"] = ceiling[row["attribute"]]
    rows, curve = taste(data, world, shown, base, personal, reader, args) if args.users else ([], [])
    size = sum(one.numel() for one in painter.model.network.parameters())
    result = {
        "read_back": back, "taste": rows, "curve": curve, "parameters": size, "seconds": seconds,
        "wall": time.perf_counter() - started, "arguments": vars(args), "versions": versions(),
    }  # fmt: skip
    parts = [f"# Drawn pictures of the simulated shop ({args.items} items, {args.epochs} epochs, {size:,} parameters)"]
    parts += ["\n## Read-back of one condition\n", table(back)]
    if rows:
        parts += ["\n## Taste: both sides\n", table(rows), "\n## Weight of preferences\n", table(curve)]
    keep("drawing_shop", result, "\n".join(parts) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["shop"])
    for name, value in {
        "items": 3000, "epochs": 60, "tokenizer-epochs": 15, "pmg-epochs": 5, "reader-epochs": 25, "users": 60,
        "seeds": 3, "inversion": 100,
    }.items():  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--guidance", type=float, default=3.0)
    args = parser.parse_args()
    set_mode("plain")
    run_shop(args)


if __name__ == "__main__":
    main()
