"""Split learning over pictures (the Advanced Model Server of DICM: Ge et al., CIKM 2018).

Pictures are sharded over servers by row, each of which has a copy of the embedding network E. A worker has the rest of
the model and no picture: it sends rows, gets embeddings of a few numbers, and returns their gradients. A picture that
occurs often in a batch is asked for once. Servers add up their gradients of E and step alike, so that training equals
that of one process: bit for bit with one server, up to the order of sums with more.

Servers are processes of their own (:mod:`palate.training.split_server`) behind pipes. What is sent are headers of plain
JSON and arrays as bytes; nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load, save
from torch import Tensor

from palate.modules.picture_reader import PictureReader
from palate.training.loop import TrainingError

DTYPES = ("int64", "float32", "uint8", "bool")


def write_frame(stream: BinaryIO, verb: str, array: NDArray[np.generic] | None = None) -> int:
    """Send a message; the number of bytes sent is returned.

    Args:
        stream: pipe.
        verb: what is asked.
        array: sent with it.
    """
    found = np.zeros(0, np.uint8) if array is None else np.ascontiguousarray(array)
    header = json.dumps({"verb": verb, "dtype": str(found.dtype), "shape": found.shape}).encode()
    body = found.tobytes()
    stream.write(len(header).to_bytes(4, "little") + header + body)
    stream.flush()
    return 4 + len(header) + len(body)


def read_frame(stream: BinaryIO) -> tuple[str, NDArray[np.generic]]:
    """Receive a message.

    Args:
        stream: pipe.

    Raises:
        TrainingError: the other side is gone, or sent what is no message.
    """
    header = json.loads(_exactly(stream, int.from_bytes(_exactly(stream, 4), "little")))
    if header["dtype"] not in DTYPES:
        raise TrainingError(f"a message of type {header['dtype']}", hint=f"types that are sent: {', '.join(DTYPES)}")
    dtype, shape = np.dtype(header["dtype"]), tuple(map(int, header["shape"]))
    body = _exactly(stream, dtype.itemsize * int(np.prod(shape)))
    return str(header["verb"]), np.frombuffer(body, dtype).reshape(shape)


def _exactly(stream: BinaryIO, count: int) -> bytes:
    parts = []
    while count:
        part = stream.read(count)
        if not part:
            raise TrainingError("a picture server has ended", hint="its messages stand above; start training again")
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


@dataclass
class Traffic:
    """Bytes that the worker exchanged with all servers.

    Attributes:
        rows: rows of pictures that were asked for.
        embeddings: embeddings that came back.
        gradients: gradients of embeddings.
        weights: gradients of E, which servers exchange.
    """

    rows: int = 0
    embeddings: int = 0
    gradients: int = 0
    weights: int = 0


@dataclass
class PictureServers:
    """Servers that hold the pictures of a reader and train its weights; use it in a ``with`` statement.

    Args:
        reader: its pictures and weights are handed to the servers.
        folder: where shards of pictures are written; servers map them into memory.
        count: number of servers.
        lr: learning rate of E.
        weight_decay: decoupled L2 of E.
        categories: float32 [n_items, categories], one-hot; None without.
    """

    reader: PictureReader
    folder: Path
    count: int = 1
    lr: float = 1e-3
    weight_decay: float = 0.0
    categories: Tensor | None = None
    traffic: Traffic = field(default_factory=Traffic)
    _servers: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)
    _asked: list[tuple[int, Tensor, Tensor]] = field(default_factory=list, repr=False)

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        weights = save({name: tensor.contiguous() for name, tensor in self.reader.state_dict().items()})
        for index in range(self.count):
            self._write_shard(index)
            about = {
                "spec": asdict(self.reader.spec), "shard": str(self.folder / f"shard{index}"), "alone": self.count == 1,
                "lr": self.lr, "weight_decay": self.weight_decay,
            }  # fmt: skip
            environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
            command = [sys.executable, "-m", "palate.training.split_server", json.dumps(about)]
            self._servers.append(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
            )
            write_frame(self._to(index), "weights", np.frombuffer(weights, np.uint8))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            # a server stops when its pipe closes
            for stream in (server.stdin, server.stdout):
                if stream is not None:
                    stream.close()
            server.wait(timeout=30)
        self._servers = []

    def embed(self, rows: Tensor) -> Tensor:
        """Embeddings of pictures, float32 [..., dim]; zero for -1 and for items without a picture.

        The gradients of what is returned belong to :meth:`step`.

        Args:
            rows: int64 [...].
        """
        items, place = torch.unique(rows, return_inverse=True)
        items_there = self.reader.there(items)
        out = torch.zeros(len(items), self.reader.spec.dim)
        shards = [(items_there & (items % self.count == index)).nonzero()[:, 0] for index in range(self.count)]
        for index, at in enumerate(shards):
            self.traffic.rows += write_frame(self._to(index), "embed", items[at].numpy())
        for index, at in enumerate(shards):
            found = torch.from_numpy(read_frame(self._from(index))[1].astype(np.float32)).requires_grad_()
            self.traffic.embeddings += found.numel() * 4
            self._asked.append((index, at, found))
            out = out.index_copy(0, at, found)
        return out[place]

    def step(self) -> None:
        """Return the gradients of all embeddings since the last step; servers take a step of their optimiser."""
        for index, _, found in self._asked:
            gradient = torch.zeros_like(found) if found.grad is None else found.grad
            self.traffic.gradients += write_frame(self._to(index), "gradient", gradient.numpy())
        if self.count > 1:
            parts = [read_frame(self._from(index))[1] for index, _, _ in self._asked]
            total = np.asarray(np.sum(parts, axis=0, dtype=np.float32))
            self.traffic.weights += sum(int(part.nbytes) for part in parts)
            for index in range(self.count):
                self.traffic.weights += write_frame(self._to(index), "sum", total)
        self._asked = []

    def weights(self, index: int = 0) -> dict[str, Tensor]:
        """Weights of E at a server.

        Args:
            index: of the server.
        """
        write_frame(self._to(index), "weights")
        return load(read_frame(self._from(index))[1].tobytes())

    def shard_bytes(self) -> int:
        """Bytes of pictures that the largest shard holds."""
        return max(file.stat().st_size for file in self.folder.glob("shard*.values.npy"))

    def _write_shard(self, index: int) -> None:
        values = self.reader.values
        if values is None:
            raise TrainingError("the reader has no pictures", hint="call use() with the features of items first")
        rows = slice(index, None, self.count)
        np.save(self.folder / f"shard{index}.values.npy", values[rows].cpu().numpy())
        empty = torch.zeros(len(values), 0)
        categories = empty if self.categories is None else self.categories
        np.save(self.folder / f"shard{index}.categories.npy", categories[rows].cpu().numpy())
        np.save(self.folder / f"shard{index}.rows.npy", np.arange(len(values))[rows])

    def _to(self, index: int) -> BinaryIO:
        stream = self._servers[index].stdin
        if stream is None:
            raise TrainingError("the servers are not running", hint="use PictureServers in a with statement")
        return stream  # type: ignore[return-value]

    def _from(self, index: int) -> BinaryIO:
        stream = self._servers[index].stdout
        if stream is None:
            raise TrainingError("the servers are not running", hint="use PictureServers in a with statement")
        return stream  # type: ignore[return-value]
