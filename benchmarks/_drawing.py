"""What the measurements of drawn pictures share: pictures, a reader of values, sheets to look at, tables."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from palate.core.files import read_json, read_tensors, write_json, write_tensors
from palate.core.progress import track
from palate.core.seeding import rng_for, seed_torch
from palate.data.dataset import Dataset
from palate.generation.drawing.train import PictureTrainer, train_pictures
from palate.modules.diffusion.network import LatentDiffusionNetwork, from_bytes

Reals = NDArray[np.float64]
Bytes = NDArray[np.uint8]


def png(image: Image.Image) -> bytes:
    """Encoded, without loss."""
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def trained(out: Path, model: PictureTrainer, data: Dataset, seed: int = 0) -> dict[str, float]:
    """Train where the folder is not there yet; processor seconds and steps by phase."""
    if not (out / "picture_model.json").is_file():
        train_pictures(model, data, out, seed=seed, checkpoint=out.with_suffix(".checkpoint"))
    seconds: dict[str, float] = {}
    for row in read_json(out / "history.json"):
        seconds[row["phase"]] = round(seconds.get(row["phase"], 0.0) + row["cpu_seconds"], 1)
    return seconds


def once(file: Path, make: Callable[[], Any]) -> Any:
    """What was measured before, read from a file; measured and written where there is none."""
    if not file.is_file():
        begun = time.process_time()
        found = make()
        file.parent.mkdir(parents=True, exist_ok=True)
        write_json(file, {"found": found, "cpu_seconds": round(time.process_time() - begun, 1)})
    return read_json(file)["found"]


@dataclass
class Reader:
    """A small convolutional network that reads values of attributes from pictures.

    Attributes:
        values: column -> its values.
        network: pixels in [-1, 1] to the logits of all columns, one after the other.
    """

    values: dict[str, list[str]]
    network: nn.Module

    @classmethod
    def train(
        cls, pixels: Bytes, labels: Mapping[str, Sequence[str]], epochs: int, held_out: int
    ) -> tuple[Reader, dict[str, float]]:
        """The reader, and its accuracy by column on the last ``held_out`` pictures, which it does not see."""
        seed_torch(0, "reader")
        reader, rng, shown = cls.untrained(labels, pixels.shape[-1]), rng_for(0, "reader"), torch.from_numpy(pixels)
        values, network, cut = reader.values, reader.network, len(pixels) - held_out
        widths = [len(some) for some in values.values()]
        targets = torch.tensor([[values[c].index(v) for v in some] for c, some in labels.items()]).T
        optimizer = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.02)
        steps = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, epochs * (cut // 64))
        for _ in track(range(epochs), "reader"):
            order = torch.randperm(cut)
            for start in range(0, cut // 64 * 64, 64):
                rows = order[start : start + 64]
                # moved, turned and mirrored, so that places and angles are not learnt by heart
                moved = torch.roll(from_bytes(shown[rows]), tuple(rng.integers(-2, 3, 2)), (2, 3))
                moved = torch.rot90(moved, int(rng.integers(4)), (2, 3))
                moved = moved.flip(3) if rng.random() < 0.5 else moved
                parts = network(moved).split(widths, 1)
                loss = sum(F.cross_entropy(part, targets[rows, at]) for at, part in enumerate(parts))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                steps.step()
        network.eval()
        found = reader.read(pixels[cut:])
        right = {c: float((found[c].argmax(1) == targets[cut:, at].numpy()).mean()) for at, c in enumerate(values)}
        return reader, right

    @classmethod
    def untrained(cls, labels: Mapping[str, Sequence[str]], side: int) -> Reader:
        """A reader of the values that labels have."""
        values, layers = {column: sorted(set(some)) for column, some in labels.items()}, []
        for before, after in ((3, 32), (32, 64), (64, 96)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        last = nn.Linear(96 * (side // 8) ** 2, sum(len(some) for some in values.values()))
        return cls(values, nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), last))

    @classmethod
    def kept(
        cls, file: Path, pixels: Bytes, labels: Mapping[str, Sequence[str]], epochs: int, held_out: int
    ) -> tuple[Reader, dict[str, float]]:
        """The same as :meth:`train`, read from two files where they are there."""
        weights, facts = file.with_suffix(".safetensors"), file.with_suffix(".json")
        if not facts.is_file():
            reader, right = cls.train(pixels, labels, epochs, held_out)
            file.parent.mkdir(parents=True, exist_ok=True)
            write_tensors(weights, reader.network.state_dict())
            write_json(facts, right)
        reader = cls.untrained(labels, pixels.shape[-1])
        reader.network.load_state_dict(read_tensors(weights))
        reader.network.eval()
        return reader, read_json(facts)

    @torch.no_grad()
    def read(self, pixels: Bytes) -> dict[str, Reals]:
        """Column -> probabilities [n, values]."""
        parts = [self.network(from_bytes(part)) for part in torch.from_numpy(np.ascontiguousarray(pixels)).split(256)]
        columns = torch.cat(parts).split([len(some) for some in self.values.values()], 1)
        return {column: part.softmax(1).double().numpy() for column, part in zip(self.values, columns)}

    def chances(self, pixels: Bytes, wanted: Mapping[str, Sequence[str]]) -> Reals:
        """Probability of the wanted value of each picture in each column that is named, [n, columns]."""
        found, rows = self.read(pixels), np.arange(len(pixels))
        return np.stack([found[c][rows, [self.values[c].index(v) for v in some]] for c, some in wanted.items()], 1)


@torch.no_grad()
def reconstructed(network: LatentDiffusionNetwork, pixels: Bytes) -> Bytes:
    """Pictures that went through the autoencoder alone: the ceiling of what can be drawn."""
    return network.decode(network.latents(torch.from_numpy(pixels))).numpy()


def peak_signal(made: Bytes, real: Bytes) -> float:
    """Peak signal-to-noise ratio in dB over all pixels."""
    return float(-10 * np.log10(np.square((made.astype(np.float64) - real) / 255).mean()))


def sheet(file: Path, rows: Sequence[Bytes], scale: int = 3) -> None:
    """Pictures uint8 [n, 3, side, side] in rows, enlarged; JPEG or PNG by the name."""
    tall = [np.concatenate(list(row.transpose(0, 2, 3, 1)), 1) for row in rows]
    image = Image.fromarray(np.concatenate(tall, 0))
    file.parent.mkdir(parents=True, exist_ok=True)
    image = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    image.save(file, **({"quality": 72, "optimize": True} if file.suffix == ".jpg" else {}))


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table in Markdown; floats with three digits, a dash for None."""
    lines = [list(rows[0]), ["---"] * len(rows[0])]
    shown = {float: "{:.3f}", type(None): "-"}
    lines += [[shown.get(type(value), "{}").format(value) for value in row.values()] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
