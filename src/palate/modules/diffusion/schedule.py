"""The cosine schedule of noise in continuous time, and what is predicted under it.

z_t = alpha_t x + sigma_t eps with alpha_t = cos(pi t / 2), sigma_t = sin(pi t / 2), so alpha^2 + sigma^2 = 1 (Nichol
& Dhariwal, ICML 2021, without their offset). The network predicts v = alpha eps - sigma x (Salimans & Ho, ICLR 2022),
from which x = alpha z - sigma v and eps = sigma z + alpha v. Squared errors of v are weighted by
min(SNR, gamma) / (SNR + 1), min-SNR (Hang et al., ICCV 2023).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

EARLIEST, LATEST = 0.005, 0.995
"""Times that are trained: outside, the logarithm of the signal-to-noise ratio has no use or no bound."""


def alpha_sigma(time: Tensor) -> tuple[Tensor, Tensor]:
    """Scales of signal and noise.

    Args:
        time: in [0, 1], any shape; 0 is the picture, 1 is noise.
    """
    angle = time * (math.pi / 2)
    return torch.cos(angle), torch.sin(angle)


def half_log_snr(time: Tensor) -> Tensor:
    """log(alpha / sigma), the variable in which DPM-Solver takes its steps.

    Args:
        time: in (0, 1).
    """
    alpha, sigma = alpha_sigma(time)
    return alpha.log() - sigma.log()


def add_noise(x: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """z_t of each example.

    Args:
        x: [B, ...].
        noise: standard normal, of the same shape.
        time: [B].
    """
    alpha, sigma = (_like(one, x) for one in alpha_sigma(time))
    return alpha * x + sigma * noise


def velocity(x: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """v of each example, the target of the network.

    Args:
        x: [B, ...].
        noise: of the same shape.
        time: [B].
    """
    alpha, sigma = (_like(one, x) for one in alpha_sigma(time))
    return alpha * noise - sigma * x


def clean_from_velocity(z: Tensor, v: Tensor, time: Tensor) -> Tensor:
    """x that z_t and v stand for.

    Args:
        z: [B, ...].
        v: of the same shape.
        time: [B].
    """
    alpha, sigma = (_like(one, z) for one in alpha_sigma(time))
    return alpha * z - sigma * v


def noise_from_clean(z: Tensor, x: Tensor, time: Tensor) -> Tensor:
    """eps that z_t and x stand for.

    Args:
        z: [B, ...].
        x: of the same shape.
        time: [B], above 0.
    """
    alpha, sigma = (_like(one, z) for one in alpha_sigma(time))
    return (z - alpha * x) / sigma


def min_snr_weight(time: Tensor, gamma: float) -> Tensor:
    """Weight of the squared error of v.

    Args:
        time: in (0, 1), any shape.
        gamma: signal-to-noise ratio from which on examples do not weigh more.
    """
    alpha, sigma = alpha_sigma(time)
    snr = (alpha / sigma) ** 2
    return snr.clamp(max=gamma) / (snr + 1)


def draw_times(n: int, device: torch.device) -> Tensor:
    """Times of training, float32 [n]: uniform, one from each of n equal parts, which spreads a batch evenly.

    Args:
        n: examples.
        device: where they go.
    """
    parts = torch.randperm(n, device=device) + torch.rand(n, device=device)
    return EARLIEST + (LATEST - EARLIEST) * parts / n


def _like(scale: Tensor, x: Tensor) -> Tensor:
    return scale.reshape(-1, *(1,) * (x.ndim - 1)).to(x.dtype)
