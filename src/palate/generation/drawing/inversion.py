"""Textual Inversion: learn one token from a few pictures, by the denoising loss, all else frozen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from palate.core.seeding import isolated, seed_torch
from palate.modules.diffusion.network import Conditions, LatentDiffusionNetwork
from palate.modules.diffusion.schedule import draw_times


@isolated
def learn_tokens(
    network: LatentDiffusionNetwork,
    latents: Sequence[Tensor],
    starts: Tensor,
    *,
    steps: int = 200,
    lr: float = 5e-2,
    batch: int = 16,
    seed: int = 0,
) -> Tensor:
    """v* = argmin_v E |v - v_theta(z_t, t, v)|^2 for each user: a token that means what their pictures have in common.

    Users are learnt together: a step takes ``batch`` pictures of each, with the same times and noise, and as Adam works
    element by element, each token moves as if it were learnt alone.

    Args:
        network: frozen.
        latents: standardised latents of each user's pictures, [h, latent, places, places], h at least 1.
        starts: float32 [users, dim], where each token starts, such as that of a coarse word.
        steps: of Adam.
        lr: learning rate.
        batch: noisy pictures of each user in a step.
        seed: of noise and times.

    Returns:
        float32 [users, 1, dim].
    """
    seed_torch(seed, "inversion")
    tokens = starts.detach().clone()[:, None].requires_grad_()
    optimizer = torch.optim.Adam([tokens], lr=lr)
    shape, n = latents[0].shape[1:], len(latents)
    none = Conditions.none(n * batch)
    with torch.enable_grad():
        for _ in range(steps):
            optimizer.zero_grad()
            places, times = torch.rand(batch), draw_times(batch, tokens.device)
            noise = torch.randn(batch, *shape).repeat(n, 1, 1, 1)
            some = torch.cat([own[(places * len(own)).long()] for own in latents])
            extra = tokens.repeat_interleave(batch, 0)
            conditions = replace(none, extra=extra, extra_weights=torch.ones(n * batch, 1))
            loss = network.denoising_loss(some, conditions, drawn=(times.repeat(n), noise))
            # the mean over users would make each gradient depend on how many there are
            (loss * n).backward()
            optimizer.step()
    return tokens.detach()
