"""Towers: one entity of one modality to a vector and to tokens, small enough to train on a catalogue of thousands.

All take an input and give ``(tokens [B, T, d], mask bool [B, T])``; :func:`pooled` makes one vector of them. Those
with ``start``, ``step`` and ``end`` can stop and go on between blocks, see :class:`palate.modules.network.Staged`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.core.registry import Registry

PAD, UNKNOWN = 0, 1
"""Token ids of padding and of what no training text held."""

Tokens = tuple[Tensor, Tensor]
FAINT = 1e-6
State = tuple[Tensor, Tensor | None]
"""Between two blocks: tokens [B, T, d] and a mask bool [B, T], or a map [B, C, H, W] and None."""

towers: Registry[type[nn.Module]] = Registry("tower", ("palate.modules",), "palate.towers")


@towers.register("text")
class TextTower(nn.Module):
    """A pre-norm Transformer over token ids [B, T] (whole numbers of any type), ``PAD`` where there is none.

    Args:
        vocabulary: number of ids. dim, layers, heads: sizes. length: positions at most. dropout: while training.
    """

    def __init__(
        self, vocabulary: int, dim: int = 128, layers: int = 2, heads: int = 4, length: int = 64, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, dim, padding_idx=PAD)
        self.places = nn.Parameter(torch.zeros(length, dim))
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places, std=0.02)
        with torch.no_grad():
            self.words.weight[PAD].zero_()
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, dropout, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(dim)

    def embed(self, ids: Tensor) -> Tensor:
        """Input vectors float32 [B, T, d]."""
        out: Tensor = self.words(known(ids, self.words)) + self.places[: ids.shape[1]]
        return out

    def forward(self, ids: Tensor) -> Tokens:
        return through(self, ids)

    def first(self) -> list[nn.Parameter]:
        return [*self.words.parameters(), self.places]

    def blocks(self) -> list[nn.Module]:
        return list(self.layers.layers)

    def start(self, ids: Tensor) -> State:
        ids = ids.long()
        return self.embed(ids), ids != PAD

    def step(self, place: int, state: State) -> State:
        values, mask = state
        assert mask is not None
        # a row without any token would attend to nothing, which is NaN
        open_ = mask.clone()
        open_[:, 0] = True
        return self.layers.layers[place](values, src_key_padding_mask=~open_), mask

    def end(self, state: State) -> Tokens:
        values, mask = state
        assert mask is not None
        return self.norm(values), mask


@towers.register("image")
class ImageTower(nn.Module):
    """Residual convolutions over pictures float32 [B, 3, S, S]; the last grid, S / 16 on a side, is the tokens.

    Args:
        dim: width. channels: of each stage; the first makes a quarter of the sides, the others a half.
    """

    def __init__(self, dim: int = 128, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        wide = (3, *channels)
        self.stages = nn.ModuleList(_Stage(a, b, 4 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(wide)))
        self.out = nn.Linear(channels[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pictures: Tensor) -> Tokens:
        return through(self, pictures)

    def first(self) -> list[nn.Parameter]:
        return []

    def blocks(self) -> list[nn.Module]:
        return list(self.stages)

    def start(self, pictures: Tensor) -> State:
        return pictures, None

    def step(self, place: int, state: State) -> State:
        return self.stages[place](state[0]), None

    def end(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0].flatten(2).transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("audio")
class AudioTower(nn.Module):
    """Convolutions over time of log-mel maps float32 [B, 1, bands, frames]; every token is a stretch of time.

    Args:
        bands: mel bands. dim: width. channels: of each layer, half the width and twice the width itself if none are
            given; each layer but the first halves time. frames: heard from the start at most; 0 is all.
    """

    def __init__(self, bands: int, dim: int = 128, channels: tuple[int, ...] = (), frames: int = 0) -> None:
        super().__init__()
        self.frames, channels = frames, channels or (dim // 2, dim, dim)
        wide = (bands, *channels)
        self.layers = nn.ModuleList(
            nn.Conv1d(a, b, 5, stride=1 if i == 0 else 2, padding=2) for i, (a, b) in enumerate(pairwise(wide))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for width in channels)
        self.out = nn.Linear(channels[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, sounds: Tensor) -> Tokens:
        return through(self, sounds)

    def first(self) -> list[nn.Parameter]:
        return []

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList(pair) for pair in zip(self.layers, self.norms)]

    def start(self, sounds: Tensor) -> State:
        return sounds[:, :, :, : self.frames or None].transpose(1, 2), None

    def step(self, place: int, state: State) -> State:
        found = self.norms[place](self.layers[place](state[0].squeeze(2)))
        return F.gelu(found).unsqueeze(2), None

    def end(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0].squeeze(2).transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("vector")
class VectorTower(nn.Module):
    """A vector that a frozen encoder made, float32 [B, inputs], standardised, as a single token or several.

    Args:
        inputs: width of the vectors. dim: of a token. tokens: their number, each a map of the whole vector.

    Attributes:
        mean, scale: of the vectors, as :meth:`fit` found them.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, dim: int = 128, tokens: int = 1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.tokens = tokens
        self.out = nn.Linear(inputs, dim * tokens)
        self.norm = nn.LayerNorm(dim)

    def fit(self, values: Tensor) -> None:
        """Take mean and scale from vectors [n, inputs]; what varies little on the whole is not blown up."""
        spread = values.var(0, correction=0)
        self.mean, self.scale = values.mean(0), (spread + spread.mean()).sqrt().clamp(min=FAINT)

    def forward(self, vectors: Tensor) -> Tokens:
        return through(self, vectors)

    def first(self) -> list[nn.Parameter]:
        return []

    def blocks(self) -> list[nn.Module]:
        return []

    def start(self, vectors: Tensor) -> State:
        return ((vectors - self.mean) / self.scale)[:, None], None

    def step(self, place: int, state: State) -> State:
        return state

    def end(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0]).unflatten(2, (self.tokens, -1)).flatten(1, 2))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


class _Stage(nn.Module):
    """Shrink the sides, then one residual block."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, after, stride + 1, stride=stride, padding=stride // 2)
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for _ in range(3))
        self.block = nn.ModuleList(nn.Conv2d(after, after, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](self.down(x)))
        inner = F.gelu(self.norms[1](self.block[0](x)))
        return F.gelu(x + self.norms[2](self.block[1](inner)))


def known(ids: Tensor, words: nn.Embedding) -> Tensor:
    """Ids that a table has; a new item's text may hold pieces that were cut off every training text."""
    return torch.where(ids < words.num_embeddings, ids, UNKNOWN)


def through(tower: Any, inputs: Tensor) -> Tokens:
    """Start, all blocks, end."""
    state: State = tower.start(inputs)
    for place in range(len(tower.blocks())):
        state = tower.step(place, state)
    found: Tokens = tower.end(state)
    return found


def pooled(tokens: Tokens) -> Tensor:
    """Mean of the tokens that are there [B, d]; zero where there is none."""
    values, mask = tokens
    weight = mask.to(values.dtype)[:, :, None]
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)


def make_tower(kind: str, start: str | None = None, **sizes: Any) -> nn.Module:
    """The tower registered as ``kind``; ``sizes`` are its constructor's arguments.

    Args:
        start: modality of the encoder whose weights it is to take before training; its attribute ``started_from``.

    Raises:
        ConfigError: when there is none of this kind.
    """
    made: nn.Module = towers.get(kind)(**sizes)
    if start is not None:
        made.started_from = start  # type: ignore[assignment]
    return made


def make_head(network: Mapping[str, Any], width: int) -> nn.Linear:
    """From a tower's pooled tokens to ``width``; the identity at first behind a tower that is trained further."""
    made = nn.Linear(int(network["dim"]), width)
    if network.get("start") is not None and made.in_features == width:
        nn.init.eye_(made.weight)
        nn.init.zeros_(made.bias)
    return made
