"""Stretches of sound as tokens of a stream."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .towers import AudioTower, Tokens, towers

STRIDE = 4
"""Frames of an audio tower's input for each of its tokens."""


@towers.register("frames")
class Frames(nn.Module):
    """``LN(W v) + LN(W_t span)`` of log-mel maps float32 [B, 1, bands, frames]: tokens of an audio tower.

    ``span`` is (start, end) in shares of the sound.

    Args:
        bands: mel bands. dim: width.
    """

    def __init__(self, bands: int, dim: int) -> None:
        super().__init__()
        self.tower = AudioTower(bands, dim)
        self.content, self.place = nn.Linear(dim, dim), nn.Linear(2, dim)
        self.content_norm, self.place_norm = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.blank = nn.Parameter(torch.zeros(dim))

    def forward(self, sounds: Tensor, hidden: Tensor | None = None) -> Tokens:
        """Tokens [B, T, d] and their mask.

        Args:
            hidden: bool [B, T], stretches whose content must not be known. Their frames go before the convolutions hear
                them, for a neighbour's receptive field holds them too.
        """
        if hidden is None:
            found, mask = self.tower(sounds)
        else:
            quiet = hidden.repeat_interleave(STRIDE, 1)[:, None, None, : sounds.shape[3]]
            found, mask = self.tower(sounds.masked_fill(quiet, 0.0))
            found = torch.where(hidden[:, :, None], self.blank, found)
        edges = torch.linspace(0, 1, found.shape[1] + 1).to(found)
        spans = torch.stack([edges[:-1], edges[1:]], 1)
        return self.content_norm(self.content(found)) + self.place_norm(self.place(spans)), mask
