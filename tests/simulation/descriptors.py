"""Simple descriptors and a kernel classifier: what can be read off a medium without learning to see or hear."""

from __future__ import annotations

import itertools
import re
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HUE_BINS = 24


def picture(image: Image.Image) -> NDArray:
    """Hue histogram, then the dominant hue's region: radial outline spectrum and the texture inside it."""
    hsv = np.asarray(image.convert("HSV"), np.float64) / 255
    hue, saturation, value = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    vivid = saturation > 0.42
    counts = np.bincount((hue[vivid] * HUE_BINS).astype(int) % HUE_BINS, minlength=HUE_BINS).astype(float)
    smooth = counts + np.roll(counts, 1) + np.roll(counts, -1)
    peak = (smooth.argmax() + 0.5) / HUE_BINS
    near = np.abs((hue - peak + 0.5) % 1 - 0.5) < 0.055
    region = near & (saturation > 0.3)
    ys, xs = np.nonzero(region)
    if len(xs) < 20:
        return np.zeros(HUE_BINS + 40)
    # Decoys of the same hue lie far from the bulk: keep what is near the median.
    centre = np.median(xs), np.median(ys)
    reach = 0.31 * image.width
    keep = np.hypot(xs - centre[0], ys - centre[1]) < reach
    xs, ys = xs[keep], ys[keep]
    x, y = xs - xs.mean(), ys - ys.mean()
    angle, radius = np.arctan2(y, x), np.hypot(x, y)
    sector = ((angle + np.pi) / (2 * np.pi) * 48).astype(int) % 48
    outline = np.zeros(48)
    np.maximum.at(outline, sector, radius)
    outline /= max(outline.mean(), 1e-9)
    spectrum = np.abs(np.fft.rfft(outline))[1:13] / 12
    fill = len(xs) / (np.pi * max(radius.max(), 1) ** 2)
    radial = np.histogram(radius / max(radius.max(), 1), 6, (0, 1))[0] / len(x)
    return np.concatenate([counts / max(counts.sum(), 1), spectrum * 2, [fill], radial * 2, _texture(value, xs, ys)])


def _texture(value: NDArray, xs: NDArray, ys: NDArray) -> NDArray:
    """Rotation-free shape of the local power spectrum of brightness over the region (21 numbers)."""
    size = 32
    patch = np.zeros((size, size))
    left, top = int(np.median(xs)) - size // 2, int(np.median(ys)) - size // 2
    padded = np.pad(value, size, mode="edge")
    patch = padded[top + size : top + 2 * size, left + size : left + 2 * size]
    window = np.hanning(size)[:, None] * np.hanning(size)
    patch = (patch - (patch * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fftshift(np.fft.fft2(patch))) ** 2
    v, u = np.mgrid[-size // 2 : size // 2, -size // 2 : size // 2]
    ring = np.hypot(u, v).astype(int)
    total = power.sum() + 1e-9
    rings = np.bincount(ring.ravel(), power.ravel(), 12)[1:12] / total
    middle = (ring >= 2) & (ring <= 9)
    wedge = ((np.arctan2(v, u) % np.pi) / np.pi * 18).astype(int) % 18
    wedges = np.bincount(wedge[middle], power[middle], 18)
    wedges = wedges / (wedges.sum() + 1e-9)
    circular = np.abs(np.fft.rfft(wedges))[1:9]
    return np.concatenate([rings, circular, [np.log(total), wedges.max()]])


def text(words: str, width: int = 2048) -> NDArray:
    """Hashed bag of words and word pairs."""
    tokens = re.findall(r"[a-z-]+", words.lower())
    vector = np.zeros(width)
    for token in (*tokens, *(" ".join(pair) for pair in itertools.pairwise(tokens))):
        vector[zlib.crc32(token.encode()) % width] = 1
    return vector


def sound(clip: NDArray, rate: int) -> NDArray:
    """Log spectrum in bands: mean and spread over time, and the spectrum of the loudness envelope."""
    frame, hop = 512, 128
    cut = np.lib.stride_tricks.sliding_window_view(clip, frame)[::hop] * np.hanning(frame)
    power = np.abs(np.fft.rfft(cut, axis=1)) ** 2
    edges = np.unique(np.geomspace(2, power.shape[1], 25).astype(int))
    bands = np.log(np.add.reduceat(power, edges[:-1], axis=1) + 1e-6)
    loud = np.abs(clip[: len(clip) // 80 * 80]).reshape(-1, 80).mean(1)
    rhythm = np.log(np.abs(np.fft.rfft((loud - loud.mean()) * np.hanning(len(loud))))[1:25] + 1e-4)
    peaks = np.log(np.abs(np.diff(clip)).max() / (np.abs(np.diff(clip)).mean() + 1e-6))
    return np.concatenate([bands.mean(0), bands.std(0), np.abs(np.diff(bands, axis=0)).mean(0), rhythm, [peaks]])


def accuracy(features: NDArray, labels: NDArray, train: int, ridge: float = 0.1, linear: bool = False) -> float:
    """Test accuracy of kernel ridge regression onto one-hot labels: the first ``train`` rows learn, the rest ask."""
    scaled = (features - features[:train].mean(0)) / (features[:train].std(0) + 1e-6)
    if linear:
        kernel = scaled @ scaled[:train].T / scaled.shape[1]
    else:
        squared = (scaled**2).sum(1)[:, None] + (scaled[:train] ** 2).sum(1) - 2 * scaled @ scaled[:train].T
        kernel = np.exp(-squared / (2 * scaled.shape[1]))
    target = np.eye(labels.max() + 1)[labels[:train]]
    mean = target.mean(0)
    weights = np.linalg.solve(kernel[:train] + ridge * np.eye(train), target - mean)
    return float(((kernel[train:] @ weights + mean).argmax(1) == labels[train:]).mean())
