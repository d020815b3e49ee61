"""Scores of pictures: structure (SSIM), perceptual distance, distributions (Fréchet, kernel), words by ConSE.

Distances of features are measured in the space of an encoder that the caller names beside the number: they are not
those of Inception (FID), of AlexNet (LPIPS) or of CLIP, and compare only with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from palate.core.errors import ConfigError, MissingDependencyError
from palate.features.encoders.lite0_network import SIDE, load_lite0
from palate.features.media import open_image
from palate.generation.scoring.picture_space import Floats

Doubles = NDArray[np.float64]
MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Of the scales (Wang et al. 2003); a small picture has the first few, scaled to sum 1."""
WINDOW = 11
LITE0_LAYERS = 5
"""Maps that are compared, evenly spread over the network."""


def ssim(made: Sequence[bytes], real: Sequence[bytes], side: int = 64) -> Doubles:
    """Structural similarity of each pair (Wang et al. 2004), at most 1, float64 [n].

    Args:
        made: pictures.
        real: one a picture.
        side: both are scaled to this size in pixels.

    Raises:
        MissingDependencyError: without torchmetrics.
        FeatureError: for a picture that cannot be read.
    """
    functional = _torchmetrics()
    one, other = pixel_batch(made, side), pixel_batch(real, side)
    values = functional.structural_similarity_index_measure(one, other, data_range=1.0, reduction="none")
    return np.asarray(values.double().reshape(-1).numpy())


def ms_ssim(made: Sequence[bytes], real: Sequence[bytes], side: int = 64) -> Doubles:
    """Structural similarity over several sizes (Wang et al. 2003), float64 [n]: as many as the size allows, up to 5.

    Args:
        made: pictures.
        real: one a picture.
        side: both are scaled to this size in pixels, at least 32.

    Raises:
        ConfigError: for a smaller size.
        MissingDependencyError: without torchmetrics.
        FeatureError: for a picture that cannot be read.
    """
    functional = _torchmetrics()
    scales = ms_ssim_scales(side)
    weights = np.array(MS_SSIM_WEIGHTS[:scales])
    values = [
        functional.multiscale_structural_similarity_index_measure(
            one[None], other[None], data_range=1.0, betas=tuple((weights / weights.sum()).tolist()), normalize="relu"
        )
        for one, other in zip(pixel_batch(made, side), pixel_batch(real, side), strict=True)
    ]
    return np.array([float(value) for value in values])


def ms_ssim_scales(side: int) -> int:
    """Sizes that MS-SSIM compares for pictures of a size: the window fits into the smallest, after padding.

    Args:
        side: in pixels.

    Raises:
        ConfigError: below 32.
    """
    if side < 32:
        raise ConfigError(f"pictures of at least 32 pixels, not {side}", key="side")
    return max(n for n in range(1, len(MS_SSIM_WEIGHTS) + 1) if side // (n - 1 or 1) ** 2 > WINDOW - 1)


def perceptual_distance(made: Sequence[bytes], real: Sequence[bytes]) -> Doubles:
    """Distance of each pair in the maps of EfficientNet-Lite0, float64 [n], 0 for equal pictures.

    The form of LPIPS (Zhang et al., CVPR 2018) without weights that are learnt: at each place of each map, the squared
    distance of feature vectors of unit length; means over places, then over maps.

    Args:
        made: pictures.
        real: one a picture.

    Raises:
        MissingDependencyError: without the extra ``pictures``.
        FeatureError: for a picture that cannot be read.
    """
    return np.array([perceptual_distances([one], [other])[0, 0] for one, other in zip(made, real, strict=True)])


def perceptual_distances(made: Sequence[bytes], real: Sequence[bytes]) -> Doubles:
    """The same for all pairs, float64 [made, real]; each picture is read once.

    Args:
        made: pictures.
        real: others.

    Raises:
        MissingDependencyError: without the extra ``pictures``.
        FeatureError: for a picture that cannot be read.
    """
    others = [_lite0_maps(one) for one in real]
    out = np.zeros((len(made), len(others)))
    for row, picture in enumerate(made):
        maps = _lite0_maps(picture)
        out[row] = [np.mean([float((a - b).square().sum(1).mean()) for a, b in zip(maps, one)]) for one in others]
    return out


def frechet_distance(made: Floats, real: Floats) -> float:
    """Fréchet distance of normal distributions fitted to vectors: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2).

    With few vectors it is biased upwards, the more the wider they are: compare sets of equal size.

    Args:
        made: vectors of pictures [n, d], n at least 2.
        real: [m, d], m at least 2.
    """
    one, other = np.asarray(made, np.float64), np.asarray(real, np.float64)
    # eigenvalues of C1 C2 are the squared singular values of A1 A2^T, with C = A^T A
    factors = [(x - x.mean(0)) / np.sqrt(len(x) - 1) for x in (one, other)]
    cross = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    traces = sum(float((factor**2).sum()) for factor in factors)
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + traces - 2 * cross)


def kernel_distance(made: Floats, real: Floats) -> float:
    """Kernel distance (KID, Binkowski et al., ICLR 2018): the unbiased squared MMD with (x . y / d + 1)^3.

    Args:
        made: vectors of pictures [n, d], n at least 2.
        real: [m, d], m at least 2.
    """
    one, other = np.asarray(made, np.float64), np.asarray(real, np.float64)

    def kernel(x: Doubles, y: Doubles) -> Doubles:
        return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)

    def within(x: Doubles) -> float:
        values = kernel(x, x)
        return float((values.sum() - np.trace(values)) / (len(x) * (len(x) - 1)))

    return within(one) + within(other) - 2 * float(kernel(one, other).mean())


def conse_score(pictures: Sequence[bytes], words: Sequence[str]) -> Doubles:
    """Cosine of each picture with its words in the space of ConSE, float64 [n]; stands in for CLIP's score.

    Args:
        pictures: encoded.
        words: one text a picture.

    Raises:
        MissingDependencyError: without the extras ``pictures`` and ``minilm``.
        FeatureError: for a picture that cannot be read.
    """
    encoder = _conse()
    found = np.asarray(encoder.encode(list(pictures)).values, np.float64)
    texts = np.asarray(encoder.words.encode(list(words)).values, np.float64)
    lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(texts, axis=1)
    return np.asarray((found * texts).sum(1) / np.maximum(lengths, 1e-12))


def pixel_batch(pictures: Sequence[bytes], side: int) -> Tensor:
    """Pixels in [0, 1], float32 [n, 3, side, side].

    Args:
        pictures: encoded.
        side: pixels.

    Raises:
        FeatureError: for a picture that cannot be read.
    """
    shown = [open_image(one, near=side).resize((side, side), Image.Resampling.BICUBIC) for one in pictures]
    pixels = np.stack([np.asarray(one, np.float32) for one in shown]) / np.float32(255)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()


def _lite0_maps(picture: bytes) -> list[Tensor]:
    layers = _lite0()
    kept = {round(at) for at in np.linspace(3, len(layers) - 1, LITE0_LAYERS)}
    maps, x = [], (pixel_batch([picture], SIDE) * 255 - 127) / 128
    with torch.inference_mode():
        for at, layer in enumerate(layers):
            x = layer(x)
            if at in kept:
                # copied: later layers work in place
                maps.append(x / x.norm(dim=1, keepdim=True).clamp(min=1e-6))
    return maps


@cache
def _lite0() -> torch.nn.Sequential:
    return load_lite0().layers


@cache
def _conse():  # type: ignore[no-untyped-def]
    from palate.features.encoders.conse import ConSE

    return ConSE().fit([])


def _torchmetrics():  # type: ignore[no-untyped-def]
    try:
        import torchmetrics.functional.image as functional
    except ImportError as error:
        raise MissingDependencyError("torchmetrics", "generate") from error
    return functional
