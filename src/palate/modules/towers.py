"""Towers: one entity of one modality to a vector and to tokens, small enough to train on a catalogue of thousands.

All take an input and give ``(tokens [B, T, d], mask bool [B, T])``, the mask True where a token is present;
:func:`pooled` makes one vector of them. Those with ``embed``, ``apply_block`` and ``finalize`` can be run block by
block, see :class:`palate.modules.network.LayeredTower`.
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
"""Token ids of padding and of pieces that occur in no training text."""

Tokens = tuple[Tensor, Tensor]
EPS = 1e-6
"""Smallest scale of a column."""
State = tuple[Tensor, Tensor | None]
"""State between two blocks: tokens [B, T, d] and a mask bool [B, T], or a map [B, C, H, W] and None."""

towers: Registry[type[nn.Module]] = Registry("tower", ("palate.modules",), "palate.towers")


@towers.register("text")
class TextTower(nn.Module):
    """A pre-norm Transformer over token ids [B, T] (integers of any type), padded with ``PAD``.

    Args:
        vocabulary: number of ids.
        dim: width.
        layers: number of layers.
        heads: of the attention.
        length: largest number of positions.
        dropout: while training.
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

    def forward(self, ids: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, ids)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return [*self.words.parameters(), self.places]

    def blocks(self) -> list[nn.Module]:
        return list(self.layers.layers)

    def embed(self, ids: Tensor) -> State:
        ids = ids.long()
        return self.words(clip_oov(ids, self.words)) + self.places[: ids.shape[1]], ids != PAD

    def apply_block(self, index: int, state: State) -> State:
        values, mask = state
        assert mask is not None
        # a row without any token would attend to nothing, which is NaN
        unmasked = mask.clone()
        unmasked[:, 0] = True
        return self.layers.layers[index](values, src_key_padding_mask=~unmasked), mask

    def finalize(self, state: State) -> Tokens:
        values, mask = state
        assert mask is not None
        return self.norm(values), mask


@towers.register("image")
class ImageTower(nn.Module):
    """Residual convolutions over pictures float32 [B, 3, S, S]; the cells of the last grid, S / 16 square, are tokens.

    Args:
        dim: width.
        channels: of each stage; the first divides height and width by 4, the others by 2.
    """

    def __init__(self, dim: int = 128, channels: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        wide = (3, *channels)
        self.stages = nn.ModuleList(_Stage(a, b, 4 if i == 0 else 2) for i, (a, b) in enumerate(pairwise(wide)))
        self.out = nn.Linear(channels[-1], dim)
        self.norm = nn.LayerNorm(dim)

    def forward(self, pictures: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, pictures)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return []

    def blocks(self) -> list[nn.Module]:
        return list(self.stages)

    def embed(self, pictures: Tensor) -> State:
        return pictures, None

    def apply_block(self, index: int, state: State) -> State:
        return self.stages[index](state[0]), None

    def finalize(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0].flatten(2).transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("audio")
class AudioTower(nn.Module):
    """Convolutions over time of log-mel maps float32 [B, 1, bands, frames]; every token is a stretch of time.

    Args:
        bands: mel bands.
        dim: width.
        channels: of each layer, half the width and twice the width itself if empty; each layer but the first halves
            time.
        frames: largest number of frames read from the start; 0 is all.
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
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, sounds)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return []

    def blocks(self) -> list[nn.Module]:
        return [nn.ModuleList(pair) for pair in zip(self.layers, self.norms)]

    def embed(self, sounds: Tensor) -> State:
        return sounds[:, :, :, : self.frames or None].transpose(1, 2), None

    def apply_block(self, index: int, state: State) -> State:
        normed = self.norms[index](self.layers[index](state[0].squeeze(2)))
        return F.gelu(normed).unsqueeze(2), None

    def finalize(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0].squeeze(2).transpose(1, 2)))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("vector")
class VectorTower(nn.Module):
    """A standardised vector of a frozen encoder, float32 [B, inputs], as a single token or several.

    Args:
        inputs: width of the vectors.
        dim: width of a token.
        tokens: their number, each a linear map of the vector.

    Attributes:
        mean: of the vectors, set by :meth:`fit`.
        scale: of the vectors, set by :meth:`fit`.
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
        """Take mean and scale from vectors [n, inputs]; columns of small variance are not amplified."""
        spread = values.var(0, correction=0)
        self.mean, self.scale = values.mean(0), (spread + spread.mean()).sqrt().clamp(min=EPS)

    def forward(self, vectors: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, vectors)

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return []

    def blocks(self) -> list[nn.Module]:
        return []

    def embed(self, vectors: Tensor) -> State:
        return ((vectors - self.mean) / self.scale)[:, None], None

    def apply_block(self, index: int, state: State) -> State:
        return state

    def finalize(self, state: State) -> Tokens:
        tokens = self.norm(self.out(state[0]).unflatten(2, (self.tokens, -1)).flatten(1, 2))
        return tokens, tokens.new_ones(tokens.shape[:2], dtype=torch.bool)


@towers.register("taught")
class AttributeProjection(nn.Module):
    """``[u, w v]`` as one token: u = (x - mean) / scale, of length 1, and v = A u, of length 1.

    Untrained, A is random, and cosines of v are about those of u (Johnson & Lindenstrauss 1984).

    Args:
        inputs: width of x [B, inputs].
        dim: width of u and v together.
        weight: w.

    Attributes:
        final: the token can be the vector, without a map behind it.
    """

    final = True

    def __init__(self, inputs: int, dim: int, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.map = nn.Parameter(torch.randn(dim - inputs, inputs) / (dim - inputs) ** 0.5)
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))

    def standardize(self, values: Tensor) -> Tensor:
        """u [B, inputs] of x."""
        return F.normalize((values - self.get_buffer("mean")) / self.get_buffer("scale"), dim=1)

    def forward(self, values: Tensor) -> Tokens:
        """One token [B, 1, dim] and its mask."""
        u = self.standardize(values.float())
        v = F.normalize(u @ self.map.T, dim=1)
        return torch.cat([u, self.weight * v], 1)[:, None], torch.ones(len(u), 1, dtype=torch.bool, device=u.device)


class _Stage(nn.Module):
    """Downsampling, then one residual block."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, after, stride + 1, stride=stride, padding=stride // 2)
        self.norms = nn.ModuleList(nn.GroupNorm(8, after) for _ in range(3))
        self.block = nn.ModuleList(nn.Conv2d(after, after, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.norms[0](self.down(x)))
        inner = F.gelu(self.norms[1](self.block[0](x)))
        return F.gelu(x + self.norms[2](self.block[1](inner)))


def clip_oov(ids: Tensor, words: nn.Embedding) -> Tensor:
    """Replace ids beyond the table by ``UNKNOWN``: a new item's text may have pieces cut off every training text."""
    return torch.where(ids < words.num_embeddings, ids, UNKNOWN)


def run_tower(tower: Any, inputs: Tensor) -> Tokens:
    """Run a :class:`palate.modules.network.LayeredTower` from inputs to tokens."""
    state: State = tower.embed(inputs)
    for index in range(len(tower.blocks())):
        state = tower.apply_block(index, state)
    tokens: Tokens = tower.finalize(state)
    return tokens


def pooled(tokens: Tokens) -> Tensor:
    """Mean of the present tokens [B, d]; zero for a row without tokens."""
    values, mask = tokens
    weight = mask.to(values.dtype)[:, :, None]
    return (values * weight).sum(1) / weight.sum(1).clamp(min=1)


def make_tower(kind: str, start: str | None = None, **sizes: Any) -> nn.Module:
    """Make the tower registered as ``kind``.

    Args:
        kind: registered name.
        start: modality of the encoder that gives its initial weights; becomes the attribute ``init_modality``.
        **sizes: arguments of its constructor.

    Raises:
        ConfigError: the kind is unknown.
    """
    tower: nn.Module = towers.get(kind)(**sizes)
    if start is not None:
        tower.init_modality = start  # type: ignore[assignment]
    return tower


def make_head(network: Mapping[str, Any], width: int) -> nn.Linear:
    """Make the linear map from a tower's pooled tokens; the identity at first behind a pretrained tower.

    Args:
        network: arguments of :func:`make_tower`.
        width: of the vectors.
    """
    head = nn.Linear(int(network["dim"]), width)
    if network.get("start") is not None and head.in_features == width:
        nn.init.eye_(head.weight)
        nn.init.zeros_(head.bias)
    return head
