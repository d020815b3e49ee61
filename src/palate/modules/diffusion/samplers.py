"""Ways from noise to a picture, for any function that predicts the clean picture.

DDIM (Song et al., ICLR 2021, without noise): z_s = alpha_s x + sigma_s eps. DPM-Solver++(2M) (Lu et al. 2022), with
lambda = log(alpha / sigma) and h = lambda_s - lambda_t:

    z_s = sigma_s / sigma_t z_t - alpha_s (e^-h - 1) D,    D = (1 + 1 / 2r) x_t - 1 / 2r x_before,    r = h_before / h.

Both end at time 0 with the clean picture that is predicted last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from palate.modules.diffusion.schedule import LATEST, add_noise, alpha_sigma, half_log_snr

SamplerName = Literal["ddim", "dpm"]
SAMPLERS = get_args(SamplerName)
Predict = Callable[[Tensor, Tensor], Tensor]
"""(z_t [B, ...], time [B]) -> the clean picture."""


def time_grid(steps: int, start: float = LATEST) -> Tensor:
    """Times of a sampler, float64 [steps + 1], from ``start`` down to 0, evenly.

    Args:
        steps: evaluations of the network.
        start: first time.
    """
    return torch.linspace(start, 0.0, steps + 1, dtype=torch.float64)


def sample(predict: Predict, z: Tensor, times: Tensor, sampler: SamplerName = "dpm") -> Tensor:
    """The clean picture at the end of a way.

    Args:
        predict: the model.
        z: noisy start [B, ...] at ``times[0]``.
        times: float64, falling, the last 0.
        sampler: ``ddim``, first order, or ``dpm``, second.
    """
    alphas, sigmas = alpha_sigma(times)
    lambdas = half_log_snr(times[:-1])
    before: Tensor | None = None
    clean = z
    for at in range(len(times) - 1):
        clean = predict(z, times[at].to(z.dtype).expand(len(z)).to(z.device))
        if at + 2 == len(times):
            break
        alpha, alpha_next = alphas[at : at + 2].tolist()
        sigma, sigma_next = sigmas[at : at + 2].tolist()
        if sampler == "ddim" or before is None:
            noise = (z - alpha * clean) / sigma
            z = alpha_next * clean + sigma_next * noise
        else:
            h, h_before = float(lambdas[at + 1] - lambdas[at]), float(lambdas[at] - lambdas[at - 1])
            ahead = 0.5 * h / h_before
            mixed = (1 + ahead) * clean - ahead * before
            z = sigma_next / sigma * z - alpha_next * math.expm1(-h) * mixed
        before = clean
    return clean


def start_from(reference: Tensor, noise: Tensor, strength: float, steps: int) -> tuple[Tensor, Tensor]:
    """Where to start so that a picture is kept in part (SDEdit, Meng et al., ICLR 2022).

    Args:
        reference: clean, [B, ...].
        noise: of the same shape.
        strength: in (0, 1]; 0 would keep the picture, 1 forgets it.
        steps: of the whole way; a part of it takes its share, at least one.

    Returns:
        The noisy start and the times from there.
    """
    start = LATEST * strength
    times = time_grid(max(1, round(steps * strength)), start)
    if strength >= 1:
        return noise, times
    return add_noise(reference, noise, torch.full((len(reference),), start)), times


def guided(conditional: Tensor, other: Tensor, scale: Tensor | float) -> Tensor:
    """Classifier-free guidance (Ho & Salimans 2022): other + scale (conditional - other).

    Args:
        conditional: prediction with the condition.
        other: prediction without it, or with what is not wanted.
        scale: 1 is the condition alone.
    """
    return other + scale * (conditional - other)
