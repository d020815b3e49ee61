"""Random views of pictures: crop, flip and colour, each picture of a batch with draws of its own, in plain torch.

Pictures are float32 [B, 3, H, W] in [-1, 1]. Draws come from torch's global generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel."""
MAX_ASPECT = 4 / 3
"""Largest ratio of a crop's sides."""
P_GREY = 0.2
"""Probability that a picture loses its colour."""
P_JITTER = 0.8
"""Probability that the colours of a picture are jittered."""


def random_view(pictures: Tensor, *, crop: float = 0.3, flip: float = 0.5, colour: float = 0.4) -> Tensor:
    """Make one view of each picture, of the same size.

    Args:
        pictures: float32 [B, 3, H, W] in [-1, 1].
        crop: smallest share of the area that is left; 1 leaves all.
        flip: probability to be mirrored.
        colour: strength of the jitter (:func:`jitter`), 0 leaves colours as they are.

    Returns:
        float32 [B, 3, H, W].
    """
    cropped = crop_flip(pictures, crop, flip) if crop < 1 or flip else pictures
    return jitter(cropped, colour) if colour else cropped


def crop_flip(pictures: Tensor, crop: float, flip: float) -> Tensor:
    """Crop a random box of each picture, stretch it to the full size and mirror some (Szegedy et al., CVPR 2015).

    This is the random resized crop of Inception.

    Args:
        pictures: float32 [B, 3, H, W].
        crop: smallest area of a box as a share of the picture; sides are up to 4:3.
        flip: probability to be mirrored.

    Returns:
        float32 [B, 3, H, W].
    """
    share, tilt, x, y, mirrored = pictures.new_empty(5, len(pictures)).uniform_()
    area = crop + (1 - crop) * share
    tilt = torch.exp((2 * tilt - 1) * math.log(MAX_ASPECT) / 2) if crop < 1 else torch.ones_like(area)
    width, height = (area.sqrt() * tilt).clamp(max=1), (area.sqrt() / tilt).clamp(max=1)
    x, y = (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)
    mirror = 1 - 2 * (mirrored < flip).to(pictures.dtype)
    zero = torch.zeros_like(x)
    boxes = torch.stack([torch.stack([width * mirror, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    grid = F.affine_grid(boxes, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def jitter(pictures: Tensor, strength: float) -> Tensor:
    """Change brightness, contrast, saturation and hue of 8 of 10 pictures; 2 of 10 lose their colour.

    The colour distortion of SimCLR (Chen et al., ICML 2020).

    Args:
        pictures: float32 [B, 3, H, W] in [-1, 1].
        strength: factors lie within 1 -+ ``strength``; hue turns by up to ``strength`` / 4 of the colour circle.

    Returns:
        float32 [B, 3, H, W] in [-1, 1].
    """
    draws = pictures.new_empty(6, len(pictures), 1, 1, 1).uniform_()
    brightness, contrast, saturation = 1 + strength * (2 * draws[:3] - 1)
    luma = pictures.new_tensor(LUMA)[:, None, None]
    light = (pictures + 1) * brightness
    mean = (light * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    light = mean + (light - mean) * contrast
    grey = (light * luma).sum(1, keepdim=True)
    light = grey + hue(light - grey, strength / 4 * (2 * draws[3].flatten() - 1)) * saturation
    light = torch.where(draws[4] < P_JITTER, light, pictures + 1)
    grey = (light * luma).sum(1, keepdim=True).expand_as(light)
    return torch.where(draws[5] < P_GREY, grey, light).clamp(0, 2) - 1


def hue(chroma: Tensor, turns: Tensor) -> Tensor:
    """Rotate colours about the grey axis.

    Args:
        chroma: [B, 3, H, W].
        turns: [B], shares of the colour circle.

    Returns:
        [B, 3, H, W].
    """
    angle = 2 * math.pi * turns
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    axis = chroma.new_full((3, 3), 1 / 3)
    cross = chroma.new_tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = cos * torch.eye(3).to(chroma) + sin * cross + (1 - cos) * axis
    return torch.einsum("bij,bjhw->bihw", turn, chroma)
