"""A small variational autoencoder of pictures.

Kingma & Welling, ICLR 2014; as the tokenizer of a diffusion: Rombach et al., CVPR 2022.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

REDUCTION = 4
"""Pixels on the side of the square that one place of the latents stands for."""


class ResidualBlock(nn.Module):
    """Two normalised 3 x 3 convolutions beside the identity.

    Args:
        channels: in and out, a multiple of 8.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1))
        self.second = nn.Sequential(nn.GroupNorm(8, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.second(self.first(x))
        return out


class PictureAutoencoder(nn.Module):
    """RGB in [-1, 1] to a normal distribution over latents at a quarter of the side, and back.

    The first layer takes 2 x 2 pixels as one place, so that no convolution runs at full size. A linear map of 4 x 4
    pixels beside the convolutions, both ways, carries colours from the first steps of training on.

    Args:
        channels: of the inner layers, a multiple of 8.
        latent: channels of the latents.
    """

    def __init__(self, channels: int = 48, latent: int = 4) -> None:
        super().__init__()
        wide = channels * 3 // 2 // 8 * 8
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, channels, 3, padding=1),
            ResidualBlock(channels),
            nn.Conv2d(channels, wide, 3, stride=2, padding=1),
            ResidualBlock(wide),
            nn.GroupNorm(8, wide),
            nn.SiLU(),
            (last := nn.Conv2d(wide, 2 * latent, 1)),
        )
        self.linear_in = nn.Sequential(nn.PixelUnshuffle(REDUCTION), nn.Conv2d(3 * REDUCTION**2, latent, 1))
        self.linear_out = nn.Sequential(nn.Conv2d(latent, 3 * REDUCTION**2, 1), nn.PixelShuffle(REDUCTION))
        # little noise at first: means of about 0 beside a deviation of 1 would tell the decoder nothing
        assert last.bias is not None
        nn.init.constant_(last.bias[latent:], -4.0)
        self.decoder = nn.Sequential(
            nn.Conv2d(latent, wide, 3, padding=1),
            ResidualBlock(wide),
            nn.Conv2d(wide, 4 * channels, 1),
            nn.PixelShuffle(2),
            ResidualBlock(channels),
            nn.GroupNorm(8, channels),
            nn.SiLU(),
            nn.Conv2d(channels, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    @torch.no_grad()
    def start_from(self, pixels: Tensor) -> None:
        """Set the linear maps to the principal components of squares of 4 x 4 pixels, and start as these alone.

        The convolutions, whose last layers become 0, then learn what a linear map loses.

        Args:
            pixels: [B, 3, side, side], in [-1, 1].
        """
        squares = F.pixel_unshuffle(pixels, REDUCTION).movedim(1, -1).flatten(0, -2).double()
        mean = squares.mean(0)
        _, vectors = torch.linalg.eigh(torch.cov((squares - mean).T))
        encoder, decoder = _convolution(self.linear_in[1]), _convolution(self.linear_out[0])
        axes = vectors.flip(1)[:, : encoder.out_channels]
        # the sign of a component is arbitrary: the greatest part is made positive
        axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
        wide = squares.new_zeros(encoder.out_channels, len(mean))
        wide[: axes.shape[1]] = axes.T
        _set(encoder, wide, -(wide @ mean))
        _set(decoder, wide.T, mean)
        last_in, last_out = _convolution(self.encoder[-1]), _convolution(self.decoder[-2])
        half = last_in.out_channels // 2
        assert last_in.bias is not None
        _set(
            last_in, torch.zeros_like(last_in.weight[..., 0, 0]), torch.cat([mean.new_zeros(half), last_in.bias[half:]])
        )
        _set(last_out, torch.zeros_like(last_out.weight), mean.new_zeros(last_out.out_channels))

    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the latents.

        Args:
            pixels: [B, 3, side, side], the side a multiple of 4.

        Returns:
            Twice [B, latent, side / 4, side / 4].
        """
        mean, log_variance = self.encoder(pixels).chunk(2, 1)
        return mean + self.linear_in(pixels), log_variance.clamp(-20, 10)

    def decode(self, latents: Tensor) -> Tensor:
        """Pixels [B, 3, side, side], not clipped.

        Args:
            latents: [B, latent, side / 4, side / 4].
        """
        out: Tensor = self.decoder(latents) + self.linear_out(latents)
        return out

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pixels that come back from drawn latents, and the distribution these were drawn from."""
        mean, log_variance = self.encode(pixels)
        return self.decode(mean + torch.randn_like(mean) * (0.5 * log_variance).exp()), mean, log_variance


def _convolution(layer: nn.Module) -> nn.Conv2d:
    assert isinstance(layer, nn.Conv2d)
    return layer


def _set(layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    assert layer.bias is not None
    layer.weight.copy_(weight.reshape(layer.weight.shape))
    layer.bias.copy_(bias)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Kullback-Leibler divergence of N(mean, variance) from N(0, 1), in nats, a mean over elements.

    Args:
        mean: any shape.
        log_variance: of the same shape.
    """
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()


def pyramid_loss(made: Tensor, real: Tensor, levels: int = 3) -> Tensor:
    """Absolute and squared error of colours, absolute error of differences of neighbours, over halved sizes.

    Differences weigh edges, which a plain error blurs; halved sizes weigh areas of one colour; the squared error parts
    colours early, where the absolute one is content with their median.

    Args:
        made: [B, 3, side, side].
        real: of the same shape.
        levels: sizes, at least one.
    """
    total = made.new_zeros(())
    for level in range(levels):
        if level:
            made, real = F.avg_pool2d(made, 2), F.avg_pool2d(real, 2)
        error = made - real
        edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
        total = total + error.abs().mean() + error.square().mean() + edges
    return total / levels
