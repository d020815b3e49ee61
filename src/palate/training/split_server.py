"""One server of :mod:`palate.training.split_learning`: it holds a shard of the pictures and the network E.

    python -m palate.training.split_server SETTINGS

``SETTINGS`` is JSON. Messages come through standard input and are answered on standard output.
"""

from __future__ import annotations

import json
import sys
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from palate.core.content import Features
from palate.core.item_features import ItemFeatures
from palate.modules.picture_reader import PictureReader, ReaderSpec
from palate.training.split_learning import read_frame, write_frame

PICTURES = "pictures"


class Server:
    """A shard of pictures, E, and its optimiser.

    Args:
        about: ``spec`` of E, ``shard`` (path without ending), ``alone`` (no other server), ``lr``, ``weight_decay``.
        weights: of E.
    """

    def __init__(self, about: dict[str, Any], weights: dict[str, Tensor]) -> None:
        spec: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in about["spec"].items()
        }
        self.reader, self.alone = PictureReader(ReaderSpec(**spec)), bool(about["alone"])
        self.reader.load_state_dict(weights)
        values, categories, self.rows = (
            np.load(f"{about['shard']}.{name}.npy", mmap_mode="c", allow_pickle=False)
            for name in ("values", "categories", "rows")
        )
        kind = "pooled" if values.ndim == 2 else "map"
        features = ItemFeatures({PICTURES: Features(values, kind=kind)}, len(values))  # type: ignore[arg-type]
        self.reader.use(features, PICTURES, torch.device("cpu"))
        self.categories = torch.from_numpy(np.array(categories))
        self.optimizer = torch.optim.AdamW(self.reader.parameters(), lr=about["lr"], weight_decay=about["weight_decay"])
        self.asked: list[Tensor] = []

    def embed(self, rows: np.ndarray) -> np.ndarray:
        """Embeddings of rows that this shard holds, float32 [n, dim].

        Args:
            rows: int64 [n], rows of the catalogue.
        """
        at = torch.from_numpy(np.searchsorted(self.rows, rows))
        self.asked.append(self.reader.read(at, self.categories[at]))
        return self.asked[-1].detach().numpy()

    def gradient(self, gradient: np.ndarray) -> np.ndarray:
        """Gradient of E, float32 [weights], given that of the embeddings that were asked for first."""
        self.asked.pop(0).backward(torch.from_numpy(gradient.copy()))
        flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.reader.parameters()]
        return torch.cat([one.flatten() for one in flat]).numpy()

    def step(self, total: np.ndarray | None = None) -> None:
        """A step of the optimiser.

        Args:
            total: gradient of E over all servers; None where this is the only one.
        """
        if total is not None:
            parts = torch.from_numpy(total.copy()).split([p.numel() for p in self.reader.parameters()])
            for parameter, part in zip(self.reader.parameters(), parts):
                parameter.grad = part.view_as(parameter)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def serve(self, source: BinaryIO, sink: BinaryIO) -> None:
        """Answer until the pipe closes.

        Args:
            source: messages of the worker.
            sink: answers.
        """
        while source.peek(1):  # type: ignore[attr-defined]
            verb, array = read_frame(source)
            if verb == "embed":
                write_frame(sink, verb, self.embed(array))
            elif verb == "gradient":
                flat = self.gradient(array)
                if self.alone:
                    self.step()
                else:
                    write_frame(sink, verb, flat)
            elif verb == "sum":
                self.step(array)
            elif verb == "weights":
                state = {name: tensor.contiguous() for name, tensor in self.reader.state_dict().items()}
                write_frame(sink, verb, np.frombuffer(save(state), np.uint8))


def main() -> None:
    """Serve until the pipe closes."""
    _, weights = read_frame(sys.stdin.buffer)
    Server(json.loads(sys.argv[1]), load(weights.tobytes())).serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
