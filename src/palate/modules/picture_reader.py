"""A trainable embedding of the pictures of items: from pooled vectors, stored feature maps or pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from palate.core.content import Features
from palate.core.errors import FeatureError
from palate.core.item_features import ItemFeatures
from palate.modules.interactions import multilayer
from palate.modules.picture_attention import AttentionKind, MapAttention
from palate.modules.standardise import CONSTANT

CHUNK = 256
"""Pictures that are read at a time where all are."""


@dataclass(frozen=True)
class ReaderSpec:
    """How pictures are read.

    Attributes:
        shape: (d,) of a pooled vector, or (C, H, W) of a map.
        dim: width of an embedding.
        hidden: widths of the layers between the pooled picture and its embedding.
        widths: channels of the blocks of convolutions, for maps.
        attention: after each block.
        categories: number of categories.
        reduce: channels that a 1 x 1 convolution brings maps to before the blocks; 0 leaves them.
    """

    shape: tuple[int, ...]
    dim: int
    hidden: tuple[int, ...] = ()
    widths: tuple[int, ...] = (16, 32)
    attention: AttentionKind = "none"
    categories: int = 0
    reduce: int = 0


class ConvBlock(nn.Module):
    """3 x 3 convolution, group normalisation, ReLU, attention, halving.

    Statistics are those of one picture, so that an embedding does not depend on the rest of a batch.

    Args:
        inputs: channels before.
        outputs: channels after.
        attention: kind.
        categories: number of categories.
    """

    def __init__(self, inputs: int, outputs: int, attention: AttentionKind, categories: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        # one group: what tells channels apart, such as colour, is not normalised away
        self.norm = nn.GroupNorm(1, outputs)
        self.attention = MapAttention(attention, outputs, categories)

    def forward(self, maps: Tensor, category: Tensor) -> Tensor:
        """Maps float32 [n, outputs, H / 2, W / 2]; a side of one stays.

        Args:
            maps: float32 [n, inputs, H, W].
            category: float32 [n, categories], one-hot.
        """
        maps = self.attention(self.norm(self.conv(maps)).relu(), category)
        halves = [min(side, 2) for side in maps.shape[2:]]
        return nn.functional.max_pool2d(maps, halves)


class PictureReader(nn.Module):
    """E: picture -> vector; every picture of a batch is read once, however often it occurs.

    What the vectors are read from is held as it is and never saved with the model. Where nothing is trained, all
    pictures are read once and looked up from then on, as a server does.

    Args:
        spec: how pictures are read.
    """

    def __init__(self, spec: ReaderSpec) -> None:
        super().__init__()
        self.spec = spec
        pixels = len(spec.shape) == 3
        first = spec.reduce if pixels and spec.reduce else spec.shape[0]
        self.reduce = nn.Conv2d(spec.shape[0], first, 1) if first != spec.shape[0] else None
        inputs = (first, *spec.widths)
        self.blocks = nn.ModuleList(
            ConvBlock(before, after, spec.attention, spec.categories)
            for before, after in zip(inputs, spec.widths)
            if pixels
        )
        self.project = multilayer(inputs[-1] if pixels else inputs[0], spec.hidden, out=spec.dim, activation=nn.PReLU)
        self.register_buffer("mean", torch.zeros(spec.shape[0]))
        self.register_buffer("scale", torch.ones(spec.shape[0]))
        self.values: Tensor | None = None
        self.present = torch.zeros(0, dtype=torch.bool)
        self._kept: tuple[Tensor, list[int], Tensor] | None = None

    def fit(self, features: Features) -> None:
        """Take mean and deviation of each column or channel over the pictures that are there.

        Args:
            features: of the items that are visible in fitting.
        """
        seen = features.values[features.present].astype(np.float32)
        if len(seen):
            axes = (0, *range(2, seen.ndim))
            deviation = seen.std(axes)
            self.get_buffer("mean").copy_(torch.from_numpy(seen.mean(axes)))
            self.get_buffer("scale").copy_(torch.from_numpy(1 / np.where(deviation > CONSTANT, deviation, 1)))

    def use(self, features: ItemFeatures, name: str, device: torch.device) -> None:
        """Take the pictures of all items.

        Args:
            features: of all items.
            name: of the feature; no item has a picture where it is missing.
            device: where they are looked up.

        Raises:
            FeatureError: pictures have another size than those in fitting.
        """
        self._kept = None
        found = features.get(name)
        if found is None:
            self.values = torch.zeros(features.n_items, *self.spec.shape, device=device)
            self.present = torch.zeros(features.n_items, dtype=torch.bool, device=device)
            return
        if tuple(found.values.shape[1:]) != self.spec.shape:
            raise FeatureError(
                f"pictures of size {tuple(found.values.shape[1:])}, the model was fitted on {self.spec.shape}",
                key=name,
                hint="encode them with the same encoder and settings",
            )
        self.values = torch.from_numpy(np.require(found.values, requirements=["C", "W"])).to(device)
        self.present = torch.from_numpy(np.asarray(found.present, bool).copy()).to(device)

    def inputs(self, items: Tensor) -> Tensor:
        """Standardised vectors or maps, float32 [n, ...].

        Args:
            items: int64 [n].

        Raises:
            RuntimeError: before :meth:`use`.
        """
        if self.values is None:
            raise RuntimeError("pictures were read before they were loaded")
        x = self.values[items].float()
        shape = (-1, *[1] * (x.ndim - 2))
        out: Tensor = (x - self.get_buffer("mean").view(shape)) * self.get_buffer("scale").view(shape)
        return out

    def read(self, items: Tensor, category: Tensor) -> Tensor:
        """Embeddings of pictures that are there, float32 [n, dim].

        Args:
            items: int64 [n].
            category: float32 [n, categories], one-hot.
        """
        x = self.inputs(items)
        if self.reduce is not None:
            x = self.reduce(x)
        for block in self.blocks:
            x = block(x, category)
        pooled = x.mean((2, 3)) if x.ndim == 4 else x
        out: Tensor = self.project(pooled)
        return out

    def forward(self, rows: Tensor, categories: Tensor) -> Tensor:
        """Embeddings float32 [..., dim]; zero for -1 and for items without a picture.

        Args:
            rows: int64 [...], items.
            categories: float32 [n_items, categories], one-hot, of all items.
        """
        if not self.training and not torch.is_grad_enabled():
            table = self.table(categories)
            return table[torch.where(rows < 0, len(table) - 1, rows)]
        items, place = torch.unique(rows, return_inverse=True)
        there = self.there(items)
        vectors = torch.zeros(len(items), self.spec.dim, device=items.device)
        some = there.nonzero()[:, 0]
        if len(some):
            vectors = vectors.index_copy(0, some, self.read(items[some], categories[items[some]]))
        return vectors[place]

    def there(self, rows: Tensor) -> Tensor:
        """Whether items have a picture, bool [...].

        Args:
            rows: int64 [...]; -1 has none.
        """
        return self.present[rows.clamp(min=0)] & (rows >= 0)

    def table(self, categories: Tensor) -> Tensor:
        """Embeddings of all items without gradients, and a last row of zeros: float32 [n_items + 1, dim].

        Made again when weights, pictures or categories change; a chunk of pictures at a time.

        Args:
            categories: float32 [n_items, categories], one-hot.
        """
        state = [number for weight in self.parameters() for number in (id(weight), weight._version)]
        if self._kept is None or self._kept[0] is not categories or self._kept[1] != state:
            table = torch.zeros(len(self.present) + 1, self.spec.dim, device=self.present.device)
            with torch.no_grad():
                for rows in self.present.nonzero()[:, 0].split(CHUNK):
                    table[rows] = self.read(rows, categories[rows])
            self._kept = categories, state, table
        return self._kept[2]


def chosen_picture(named: str | None, maps: Sequence[str], vectors: Sequence[str]) -> str | None:
    """The feature that pictures are read from.

    Args:
        named: ``none``, the name of a feature, or None for the first maps of pictures, else their vectors.
        maps: names of features that are maps.
        vectors: names of pooled features.

    Returns:
        Its name, or None where there is none.

    Raises:
        FeatureError: for a feature that is not there.
    """
    if named == "none":
        return None
    if named is not None and named not in (*maps, *vectors):
        raise FeatureError("no such feature of pictures", key=named, hint=f"there are: {', '.join((*maps, *vectors))}")
    return named or next((name for name in (*maps, *vectors) if name.partition(".")[0] == "image"), None)
