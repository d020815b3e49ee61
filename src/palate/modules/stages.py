"""Parts of a checkpoint's network: input, layers one by one, and the pooling of tokens to one vector."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.towers import State, Tokens, pooled, run_tower

Pooling = Literal["mean", "first", "last", "all"]
MAX_CLIPS = 8
"""Sounds that go through the first convolutions together; a second of one takes megabytes there."""
BLOCKED = -1e9
"""Added to the attention logits where a position must not be attended to."""


class TransformerStages(nn.Module):
    """Inputs -> states -> layers -> tokens.

    Args:
        enter: inputs -> states [B, T, d] and mask.
        layers: take states and an additive mask.
        leave: norm after the last layer.
        causal: positions attend only to earlier ones.

    Attributes:
        accepts_prefix: learnt positions may stand in front.
    """

    accepts_prefix = True

    def __init__(self, enter: nn.Module, layers: nn.ModuleList, leave: nn.Module, causal: bool = False) -> None:
        super().__init__()
        self.enter, self.layers, self.leave, self.causal = enter, layers, leave, causal

    def forward(self, inputs: Tensor) -> Tokens:
        """Tokens [B, T, d] and their mask."""
        return run_tower(self, inputs)

    def train(self, mode: bool = True) -> TransformerStages:
        """Set the mode, but leave batch norms in eval mode: a catalogue's batches are too small for statistics."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def input_parameters(self) -> list[nn.Parameter]:
        """Part of the interface :class:`palate.modules.network.LayeredTower`, like the methods below."""
        return list(self.enter.parameters())

    def blocks(self) -> list[nn.Module]:
        return list(self.layers)

    def embed(self, inputs: Tensor) -> State:
        state: State = self.enter(inputs)
        return state

    def apply_block(self, index: int, state: State) -> State:
        states, mask = state
        assert mask is not None
        out = self.layers[index](states, *self.layer_args(index, states, mask))
        return out[0] if isinstance(out, tuple) else out, mask

    def finalize(self, state: State) -> Tokens:
        states, mask = state
        assert mask is not None
        return self.leave(states), mask

    def layer_args(self, index: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        """Arguments of a layer after the states.

        Args:
            index: of the layer.
            states: [B, T, d].
            mask: bool [B, T].

        Returns:
            The additive attention mask [B, 1, T, T], 0 or ``BLOCKED``; None if every position attends to all.
        """
        if not self.causal and bool(mask.all()):
            return (None,)
        unmasked = mask.clone()
        # a row without any token would attend to nothing, which is NaN
        unmasked[:, 0] = True
        length = mask.shape[1]
        allowed = unmasked[:, None, :].expand(-1, length, -1)
        if self.causal:
            allowed = allowed & torch.ones(length, length, dtype=torch.bool, device=mask.device).tril()
        additive = torch.zeros(allowed.shape, dtype=states.dtype, device=states.device).masked_fill(~allowed, BLOCKED)
        return (additive[:, None],)


class RelativeBiasStages(TransformerStages):
    """Layers that also take a bias by the distance between positions: MPNet.

    Args:
        enter: as in :class:`TransformerStages`.
        layers: as in :class:`TransformerStages`.
        leave: as in :class:`TransformerStages`.
        bias: the model's encoder without layers.
    """

    def __init__(self, enter: nn.Module, layers: nn.ModuleList, leave: nn.Module, bias: Any) -> None:
        super().__init__(enter, layers, leave)
        self.bias = bias

    def input_parameters(self) -> list[nn.Parameter]:
        # every layer reads the bias: where the lowest are frozen it is too
        return [*super().input_parameters(), *self.bias.parameters()]

    def layer_args(self, index: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        return *super().layer_args(index, states, mask), self.bias.compute_position_bias(states)


class WindowedStages(TransformerStages):
    """Layers over a grid with attention inside windows: CLAP's audio half."""

    accepts_prefix = False

    def apply_block(self, index: int, state: State) -> State:
        # a layer may merge neighbours
        return _unmasked(super().apply_block(index, state)[0])

    def layer_args(self, index: int, states: Tensor, mask: Tensor) -> tuple[Any, ...]:
        blocks: Any = self.layers[index].blocks
        return (blocks[0].input_resolution,)


class TokenInput(nn.Module):
    """Input of token ids + 1 [B, T], 0 beyond a text's end.

    Args:
        embeddings: of the model.
        pad: id of padding.
        project: of the model, behind the embeddings.
        full: padding is attended to like any token (SigLIP).
    """

    def __init__(self, embeddings: nn.Module, pad: int, project: nn.Module | None = None, full: bool = False) -> None:
        super().__init__()
        self.embeddings, self.project, self.pad, self.full = embeddings, project, pad, full

    def forward(self, ids: Tensor) -> State:
        """States [B, T, d] and mask."""
        mask = ids > 0
        if not self.full:
            # texts are mostly far shorter than the limit of a checkpoint
            longest = max(int(mask.sum(1).max()), 1)
            ids, mask = ids[:, :longest], mask[:, :longest]
        states = self.embeddings(input_ids=torch.where(mask, ids.long() - 1, self.pad))
        if self.project is not None:
            states = self.project(states)
        return states, torch.ones_like(mask) if self.full else mask


class PatchInput(nn.Module):
    """Input of pictures float32 [B, 3, H, W].

    Args:
        embeddings: of the model.
        norm: behind the embeddings.
    """

    def __init__(self, embeddings: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.embeddings, self.norm = embeddings, norm

    def forward(self, pictures: Tensor) -> State:
        """States [B, T, d] and mask."""
        return _unmasked(self.norm(self.embeddings(pictures)))


class WaveformInput(nn.Module):
    """Input of samples [B, N + 1]; the last entry is the number of samples that are present.

    Sounds of equal length go through the convolutions together: nothing is padded before these normalise over time.

    Args:
        model: of the kind of wav2vec 2.0, its encoder without layers.
        norm: before the layers.
        least: samples of the shortest sound.
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
        """States [B, T, d] and mask."""
        lengths = sounds[:, -1].long().clamp(min=self.least)
        order, parts = [], []
        for length in lengths.unique():
            for rows in (lengths == length).nonzero().squeeze(1).split(MAX_CLIPS):
                order.append(rows)
                parts.append(self._states(sounds[rows, : int(length)]))
        longest = max(part.shape[1] for part in parts)
        counts = torch.cat([lengths.new_full((len(part),), part.shape[1]) for part in parts])
        states = torch.cat([F.pad(part, (0, 0, 0, longest - part.shape[1])) for part in parts])
        back = torch.cat(order).argsort()
        return states[back], torch.arange(longest, device=sounds.device) < counts[back, None]

    def _states(self, waves: Tensor) -> Tensor:
        projected = self.project(self.extract(waves).transpose(1, 2))
        states = projected[0] if isinstance(projected, tuple) else projected
        out: Tensor = self.dropout(self.norm(states + self.places(states)))
        return out


class MelInput(nn.Module):
    """Input of log-mel maps float32 [B, C, frames, bands].

    Args:
        encoder: CLAP's, without layers.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, mels: Tensor) -> State:
        """States [B, T, d] and mask."""
        normed = self.encoder.batch_norm(mels.transpose(1, 3)).transpose(1, 3)
        # no sound is read beyond the model's window, so none has parts to be fused
        none = torch.zeros(0, dtype=torch.long, device=mels.device)
        return _unmasked(self.encoder.patch_embed(self.encoder.reshape_mel2img(normed), none))


class PoolingHead(nn.Module):
    """One vector of tokens.

    Args:
        pooling: the mean, the first or the last present token, or ``all`` tokens passed to ``after``.
        after: behind the pooling.
        normalize: to unit length.
    """

    def __init__(self, pooling: Pooling, after: nn.Module, normalize: bool = False) -> None:
        super().__init__()
        self.pooling, self.after, self.normalize = pooling, after, normalize

    @property
    def is_mean(self) -> bool:
        """Whether the vector is the mean of tokens and nothing else."""
        return self.pooling == "mean" and isinstance(self.after, nn.Identity) and not self.normalize

    def forward(self, tokens: Tokens) -> Tensor:
        """Vectors [B, width]."""
        values, mask = tokens
        if self.pooling == "mean":
            values = pooled(tokens)
        elif self.pooling == "first":
            values = values[:, 0]
        elif self.pooling == "last":
            values = values[torch.arange(len(values), device=values.device), (mask.sum(1) - 1).clamp(min=0)]
        vectors: Tensor = self.after(values)
        return nn.functional.normalize(vectors, dim=1) if self.normalize else vectors


def _unmasked(states: Tensor) -> State:
    return states, torch.ones(states.shape[:2], dtype=torch.bool, device=states.device)
