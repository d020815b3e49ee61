"""Latent diffusion with conditions (Rombach et al., CVPR 2022): what is trained, and how it draws."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.diffusion.autoencoder import REDUCTION, PictureAutoencoder
from palate.modules.diffusion.samplers import SamplerName, guided, sample, start_from, time_grid
from palate.modules.diffusion.schedule import (
    EARLIEST,
    LATEST,
    add_noise,
    clean_from_velocity,
    draw_times,
    min_snr_weight,
    velocity,
)
from palate.modules.diffusion.transformer import DiffusionTransformer

GRID = 4
"""Side of the grid of mean latents that describes a picture as a condition."""


@dataclass(frozen=True)
class NetworkSize:
    """Sizes of a latent diffusion.

    Attributes:
        tokens: condition tokens of the vocabulary; token 0 is padding.
        side: height and width of pictures in pixels, a multiple of 16.
        channels: of the autoencoder.
        latent: channels of the latents.
        patch: places of the latents on the side of a token.
        dim: width of the transformer.
        depth: its blocks.
        heads: its heads of attention.
    """

    tokens: int
    side: int = 32
    channels: int = 48
    latent: int = 4
    patch: int = 2
    dim: int = 128
    depth: int = 6
    heads: int = 4

    @property
    def places(self) -> int:
        """Height and width of the latents."""
        return self.side // REDUCTION

    @property
    def picture_dim(self) -> int:
        """Width of the vector that describes a picture as a condition."""
        return self.latent * GRID * GRID


@dataclass(frozen=True, eq=False)
class Conditions:
    """What a batch of pictures is conditioned on; every part may be left out.

    Attributes:
        ids: int64 [B, m], tokens of the vocabulary, 0 for padding.
        weights: float32 [B, m], 0 for padding.
        pictures: float32 [B, picture_dim], see :meth:`LatentDiffusionNetwork.describe`, or None.
        picture_weights: float32 [B], 0 for none.
        extra: float32 [B, n, dim], tokens in the space of the vocabulary's, such as preferences, or None.
        extra_weights: float32 [B, n].
    """

    ids: Tensor
    weights: Tensor
    pictures: Tensor | None = None
    picture_weights: Tensor | None = None
    extra: Tensor | None = None
    extra_weights: Tensor | None = None

    def to(self, device: torch.device | str) -> Conditions:
        """These conditions on a device.

        Args:
            device: where tensors go.
        """
        parts = {one.name: getattr(self, one.name) for one in fields(self)}
        moved: dict[str, Any] = {name: None if part is None else part.to(device) for name, part in parts.items()}
        return replace(self, **moved)

    @classmethod
    def none(cls, n: int, device: torch.device | str = "cpu") -> Conditions:
        """No condition at all for each of ``n`` pictures."""
        return cls(torch.zeros(n, 1, dtype=torch.int64, device=device), torch.zeros(n, 1, device=device))


class ConditionalDenoiser(nn.Module):
    """The transformer with the tables of its conditions: what is averaged and, once trained, frozen together.

    Args:
        size: of the network.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.tokens = nn.Embedding(size.tokens, size.dim, padding_idx=0)
        nn.init.normal_(self.tokens.weight, std=0.5)
        self.always = nn.Parameter(torch.randn(size.dim) * 0.5)
        self.picture = nn.Sequential(nn.Linear(size.picture_dim, size.dim), nn.SiLU(), nn.Linear(size.dim, size.dim))
        self.transformer = DiffusionTransformer(size.latent, size.places, size.patch, size.dim, size.depth, size.heads)

    def embed(self, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """Condition tokens [B, m, dim] and their weights [B, m]; the first is there always, with weight 1.

        Args:
            conditions: of a batch.
        """
        n = len(conditions.ids)
        tokens = [self.always.expand(n, 1, -1), self.tokens(conditions.ids)]
        weights = [self.always.new_ones(n, 1), conditions.weights]
        if conditions.pictures is not None and conditions.picture_weights is not None:
            tokens.append(self.picture(conditions.pictures)[:, None])
            weights.append(conditions.picture_weights[:, None])
        if conditions.extra is not None and conditions.extra_weights is not None:
            tokens.append(conditions.extra)
            weights.append(conditions.extra_weights)
        return torch.cat(tokens, 1), torch.cat(weights, 1)

    def forward(self, z: Tensor, time: Tensor, conditions: Conditions) -> Tensor:
        """v of noisy latents, see :class:`DiffusionTransformer`."""
        out: Tensor = self.transformer(z, time, *self.embed(conditions))
        return out


class LatentDiffusionNetwork(nn.Module):
    """Autoencoder and denoiser; latents are shifted and scaled by channel to mean 0 and deviation 1.

    Args:
        size: of the network.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.autoencoder = PictureAutoencoder(size.channels, size.latent)
        self.denoiser = ConditionalDenoiser(size)
        self.register_buffer("shift", torch.zeros(size.latent, 1, 1))
        self.register_buffer("scale", torch.ones(size.latent, 1, 1))

    @torch.no_grad()
    def latents(self, pixels: Tensor) -> Tensor:
        """Mean latents of pictures, standardised, [B, latent, places, places].

        Args:
            pixels: uint8 [B, 3, side, side].
        """
        parts = [self.autoencoder.encode(from_bytes(part))[0] for part in pixels.split(128)]
        out: Tensor = (torch.cat(parts) - self.shift) / self.scale
        return out

    @torch.no_grad()
    def standardise(self, pixels: Tensor) -> None:
        """Set shift and scale from pictures.

        Args:
            pixels: uint8 [n, 3, side, side].
        """
        parts = torch.cat([self.autoencoder.encode(from_bytes(part))[0] for part in pixels.split(128)])
        self.shift.copy_(parts.mean((0, 2, 3))[:, None, None])
        self.scale.copy_(parts.std((0, 2, 3)).clamp(min=1e-3)[:, None, None])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures, uint8 [B, 3, side, side].

        Args:
            latents: standardised.
        """
        return to_bytes(self.autoencoder.decode(latents * self.scale + self.shift))

    def describe(self, latents: Tensor) -> Tensor:
        """A picture as a condition: means of its latents over a 4 x 4 grid, [B, picture_dim].

        Args:
            latents: standardised.
        """
        return F.adaptive_avg_pool2d(latents, GRID).flatten(1)

    def denoising_loss(
        self,
        latents: Tensor,
        conditions: Conditions,
        gamma: float = 5.0,
        rows: bool = False,
        drawn: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Squared error of v at random times, weighted by min-SNR.

        Args:
            latents: standardised, [B, latent, places, places].
            conditions: of the same pictures.
            gamma: of the weights.
            rows: one loss a picture, [B], instead of their mean.
            drawn: times [B] and noise of the shape of ``latents``; None draws them.
        """
        time, noise = drawn or (draw_times(len(latents), latents.device), torch.randn_like(latents))
        made = self.denoiser(add_noise(latents, noise, time), time, conditions)
        error = (made - velocity(latents, noise, time)).square().mean((1, 2, 3))
        weighted: Tensor = min_snr_weight(time, gamma) * error
        return weighted if rows else weighted.mean()

    @torch.no_grad()
    def sample(
        self,
        noise: Tensor,
        conditions: Conditions,
        negative: Conditions,
        guidance: Tensor | float = 3.0,
        steps: int = 20,
        sampler: SamplerName = "dpm",
        reference: Tensor | None = None,
        strength: float = 1.0,
    ) -> Tensor:
        """Draw latents, standardised.

        Args:
            noise: standard normal, [B, latent, places, places].
            conditions: what is to be seen.
            negative: what guidance leads away from.
            guidance: scale of it, a number or [B]; 1 is none.
            steps: evaluations of the network.
            sampler: ``ddim`` or ``dpm``.
            reference: latents to start from; None starts from noise.
            strength: 0 keeps the reference, 1 forgets it.
        """
        if reference is not None and strength <= 0:
            return reference
        scale = torch.as_tensor(guidance, dtype=noise.dtype, device=noise.device).reshape(-1, 1, 1, 1)
        wanted, unwanted = self.denoiser.embed(conditions), self.denoiser.embed(negative)
        alone = bool((scale == 1).all())

        def predict(z: Tensor, time: Tensor) -> Tensor:
            clipped = time.clamp(EARLIEST, LATEST)
            v = self.denoiser.transformer(z, clipped, *wanted)
            if not alone:
                v = guided(v, self.denoiser.transformer(z, clipped, *unwanted), scale)
            return clean_from_velocity(z, v, clipped)

        if reference is None:
            return sample(predict, noise, time_grid(steps), sampler)
        z, times = start_from(reference, noise, strength, steps)
        return sample(predict, z, times, sampler)


def from_bytes(pixels: Tensor) -> Tensor:
    """Pixels in [-1, 1], float32.

    Args:
        pixels: uint8.
    """
    return pixels.float() / 127.5 - 1.0


def to_bytes(pixels: Tensor) -> Tensor:
    """Pixels as uint8.

    Args:
        pixels: about [-1, 1].
    """
    return ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
