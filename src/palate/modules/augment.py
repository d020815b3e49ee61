"""Random views of pictures: crop, flip and colour, each picture of a batch with draws of its own, in plain torch.

Pictures are float32 [B, 3, H, W] in [-1, 1]. Draws come from torch's global generator.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)
RATIO = 4 / 3
GREY = 0.2
JITTERED = 0.8


def random_view(pictures: Tensor, *, crop: float = 0.3, flip: float = 0.5, colour: float = 0.4) -> Tensor:
    """One view of each picture, of the same size.

    Args:
        crop: smallest share of the area that is kept; 1 keeps all. flip: chance to be mirrored.
        colour: strength of the jitter (:func:`jitter`), 0 keeps colours.
    """
    seen = crop_flip(pictures, crop, flip) if crop < 1 or flip else pictures
    return jitter(seen, colour) if colour else seen


def crop_flip(pictures: Tensor, crop: float, flip: float) -> Tensor:
    """A random box of each picture, of area ``crop`` to 1 and sides up to 4:3, stretched to the full size and mirrored
    with chance ``flip`` (the random resized crop of Inception, Szegedy et al., CVPR 2015)."""
    share, tilt, x, y, mirrored = pictures.new_empty(5, len(pictures)).uniform_()
    area = crop + (1 - crop) * share
    tilt = torch.exp((2 * tilt - 1) * math.log(RATIO) / 2) if crop < 1 else torch.ones_like(area)
    width, height = (area.sqrt() * tilt).clamp(max=1), (area.sqrt() / tilt).clamp(max=1)
    x, y = (2 * x - 1) * (1 - width), (2 * y - 1) * (1 - height)
    mirror = 1 - 2 * (mirrored < flip).to(pictures.dtype)
    zero = torch.zeros_like(x)
    boxes = torch.stack([torch.stack([width * mirror, zero, x], 1), torch.stack([zero, height, y], 1)], 1)
    grid = F.affine_grid(boxes, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def jitter(pictures: Tensor, strength: float) -> Tensor:
    """Brightness, contrast, saturation (factors of 1 -+ ``strength``) and hue (a turn of up to ``strength`` / 4 of the
    colour circle) for 8 of 10 pictures; 2 of 10 lose their colour (SimCLR, Chen et al., ICML 2020)."""
    draws = pictures.new_empty(6, len(pictures), 1, 1, 1).uniform_()
    brightness, contrast, saturation = 1 + strength * (2 * draws[:3] - 1)
    luma = pictures.new_tensor(LUMA)[:, None, None]
    light = (pictures + 1) * brightness
    mean = (light * luma).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    light = mean + (light - mean) * contrast
    grey = (light * luma).sum(1, keepdim=True)
    light = grey + hue(light - grey, strength / 4 * (2 * draws[3].flatten() - 1)) * saturation
    light = torch.where(draws[4] < JITTERED, light, pictures + 1)
    grey = (light * luma).sum(1, keepdim=True).expand_as(light)
    return torch.where(draws[5] < GREY, grey, light).clamp(0, 2) - 1


def hue(chroma: Tensor, turns: Tensor) -> Tensor:
    """Colours [B, 3, H, W] turned about the grey axis.

    Args:
        turns: [B], shares of the colour circle.
    """
    angle = 2 * math.pi * turns
    cos, sin = torch.cos(angle)[:, None, None], torch.sin(angle)[:, None, None]
    axis = chroma.new_full((3, 3), 1 / 3)
    cross = chroma.new_tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    turn = cos * torch.eye(3).to(chroma) + sin * cross + (1 - cos) * axis
    return torch.einsum("bij,bjhw->bihw", turn, chroma)
