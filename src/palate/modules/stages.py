"""What a checkpoint's network is made of: what it takes in, its layers one by one, and how tokens become one vector."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.towers import State, Tokens, pooled, through

Pooling = Literal["mean", "first", "last", "all"]
CLIPS = 8
"""Sounds that go through the first convolutions together; a second of one takes megabytes there."""


class Stages(nn.Module):
    """Inputs -> states -> layers -> tokens.

    Args:
        enter: inputs -> states [B, T, d] and mask. layers: take states and an additive mask. leave: behind the last.
        causal: positions see only what is before them.

    Attributes:
        lengthens: learnt positions may stand in front.
    """

    lengthens = True

    def __init__(self, enter: nn.Module, layers: nn.ModuleList, leave: nn.Module, causal: bool = False) -> None:
        super().__init__()
        self.enter, self.layers, self.leave, self.causal = enter, layers, leave, causal

    def forward(self, inputs: Tensor) -> Tokens:
        return through(self, inputs)

    def train(self, mode: bool = True) -> Stages:
        """Statistics of batches stay those of the checkpoint: a catalogue's batches are too small for better ones."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def first(self) -> list[nn.Parameter]:
        return list(self.enter.parameters())

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def start(self, inputs: Tensor) -> State:
        found: State = self.enter(inputs)
        return found

    def step(self, place: int, state: State) -> State:
        states, mask = state
        assert mask is not None
        found = self.layers[place](states, *self.beside(place, states, mask))
        return found[0] if isinstance(found, tuple) else found, mask

    def end(self, state: State) -> Tokens:
        states, mask = state
        assert mask is not None
        return self.leave(states), mask

    def beside(self, place: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        """What a layer takes beside states: 0 where a position may look and -1e9 elsewhere, None where it may anywhere.

        The mask is [B, 1, T, T].
        """
        if not self.causal and bool(mask.all()):
            return (None,)
        open_ = mask.clone()
        # a row without any token would attend to nothing, which is NaN
        open_[:, 0] = True
        length = mask.shape[1]
        seen = open_[:, None, :].expand(-1, length, -1)
        if self.causal:
            seen = seen & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        closed = torch.zeros(seen.shape, dtype=states.dtype, device=states.device).masked_fill(~seen, -1e9)
        return (closed[:, None],)


class Biased(Stages):
    """Layers that also take what a distance between positions is worth: MPNet.

    Args:
        bias: its encoder without layers.
    """

    def __init__(self, enter: nn.Module, layers: nn.ModuleList, leave: nn.Module, bias: Any) -> None:
        super().__init__(enter, layers, leave)
        self.bias = bias

    def first(self) -> list[nn.Parameter]:
        # every layer reads the bias: where the lowest are frozen it is too
        return [*super().first(), *self.bias.parameters()]

    def beside(self, place: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        return *super().beside(place, states, mask), self.bias.compute_position_bias(states)


class Windows(Stages):
    """Layers over a grid that look inside windows: CLAP's audio half."""

    lengthens = False

    def step(self, place: int, state: State) -> State:
        # a layer may merge neighbours
        return _whole(super().step(place, state)[0])

    def beside(self, place: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        blocks: Any = self.layers[place].blocks
        return (blocks[0].input_resolution,)


class Ids(nn.Module):
    """Token ids + 1 [B, T], 0 beyond a text's end.

    Args:
        embeddings, project: of the model. pad: id of padding. full: padding is read like any token (SigLIP).
    """

    def __init__(self, embeddings: nn.Module, pad: int, project: nn.Module | None = None, full: bool = False) -> None:
        super().__init__()
        self.embeddings, self.project, self.pad, self.full = embeddings, project, pad, full

    def forward(self, ids: Tensor) -> State:
        mask = ids > 0
        if not self.full:
            # texts are mostly far shorter than the most a checkpoint takes
            longest = max(int(mask.sum(1).max()), 1)
            ids, mask = ids[:, :longest], mask[:, :longest]
        states = self.embeddings(input_ids=torch.where(mask, ids.long() - 1, self.pad))
        if self.project is not None:
            states = self.project(states)
        return states, torch.ones_like(mask) if self.full else mask


class Patches(nn.Module):
    """Pictures float32 [B, 3, H, W]."""

    def __init__(self, embeddings: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.norm = embeddings, norm

    def forward(self, pictures: Tensor) -> State:
        return _whole(self.norm(self.embeddings(pictures)))


class Waves(nn.Module):
    """Samples [B, N + 1], the last number how many of them are there.

    Sounds of equal length go through the convolutions together: nothing is padded before these normalise over time.

    Args:
        model: of the kind of wav2vec 2.0, its encoder without layers. least: samples of the shortest sound.
    """

    def __init__(self, model: Any, norm: nn.Module, least: int) -> None:
        super().__init__()
        self.extract, self.project = model.feature_extractor, model.feature_projection
        self.places, self.dropout = model.encoder.pos_conv_embed, model.encoder.dropout
        self.norm, self.least = norm, least
        convolution = self.places.conv
        if nn.utils.parametrize.is_parametrized(convolution):
            nn.utils.parametrize.remove_parametrizations(convolution, "weight")

    def forward(self, sounds: Tensor) -> State:
        lengths = sounds[:, -1].long().clamp(min=self.least)
        order, made = [], []
        for length in lengths.unique():
            for rows in (lengths == length).nonzero().squeeze(1).split(CLIPS):
                order.append(rows)
                made.append(self._states(sounds[rows, : int(length)]))
        longest = max(part.shape[1] for part in made)
        counts = torch.cat([lengths.new_full((len(part),), part.shape[1]) for part in made])
        states = torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in made])
        back = torch.cat(order).argsort()
        return states[back], torch.arange(longest, device=sounds.device) < counts[back, None]

    def _states(self, waves: Tensor) -> Tensor:
        found = self.project(self.extract(waves).transpose(1, 2))
        states = found[0] if isinstance(found, tuple) else found
        out: Tensor = self.dropout(self.norm(states + self.places(states)))
        return out


class Mels(nn.Module):
    """Log-mel maps float32 [B, C, frames, bands].

    Args:
        encoder: CLAP's, without layers.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mels: Tensor) -> State:
        level = self.encoder.batch_norm(mels.transpose(1, 3)).transpose(1, 3)
        # no sound is read beyond the model's window, so none has parts to be fused
        none = torch.zeros(0, dtype=torch.long, device=mels.device)
        return _whole(self.encoder.patch_embed(self.encoder.reshape_mel2img(level), none))


class Head(nn.Module):
    """One vector of tokens: their mean, the first or last that is there, or what ``after`` makes of all.

    Args:
        after: behind the pooling. normalize: to unit length.
    """

    def __init__(self, pooling: Pooling, after: nn.Module, normalize: bool = False) -> None:
        super().__init__()
        self.pooling, self.after, self.normalize = pooling, after, normalize

    @property
    def plain(self) -> bool:
        """Whether it is the mean and nothing else."""
        return self.pooling == "mean" and isinstance(self.after, nn.Identity) and not self.normalize

    def forward(self, tokens: Tokens) -> Tensor:
        values, mask = tokens
        if self.pooling == "mean":
            values = pooled(tokens)
        elif self.pooling == "first":
            values = values[:, 0]
        elif self.pooling == "last":
            values = values[torch.arange(len(values), device=values.device), (mask.sum(1) - 1).clamp(min=0)]
        found: Tensor = self.after(values)
        return nn.functional.normalize(found, dim=1) if self.normalize else found


def _whole(states: Tensor) -> State:
    return states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
