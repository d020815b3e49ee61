"""From what a picture is to show to its pixels, by the library's own latent diffusion."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from torch import Tensor

from palate.contracts import PicturePrompt
from palate.core.errors import UnsupportedError
from palate.core.seeding import torch_stream
from palate.features.media import open_image
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.generation.drawing.weights import PictureModel
from palate.modules.diffusion.network import Conditions
from palate.modules.diffusion.samplers import SamplerName

BATCH = 64


class Painter:
    """Draws prompts with a picture model, an :class:`palate.contracts.ImageBackend`.

    Pictures have the model's size and are cut and scaled to the size of the prompt. A word that the vocabulary does not
    know has no effect. The noise depends on the seed alone: a picture does not depend on the batch, and two prompts
    with the same seed differ by what they ask for alone.

    Args:
        model: what draws.
        steps: evaluations of the network.
        sampler: ``ddim`` or ``dpm``.
    """

    name = "latent_diffusion"

    def __init__(self, model: PictureModel, steps: int = 20, sampler: SamplerName = "dpm") -> None:
        self.model, self.steps, self.sampler = model, steps, sampler
        self.version = model.version

    def draw(self, prompts: Sequence[PicturePrompt], *, seed: int) -> list[bytes]:
        """One PNG a prompt, in order.

        Args:
            prompts: what to draw.
            seed: same seed, same pictures.

        Raises:
            UnsupportedError: for preference tokens of another width.
            FeatureError: for a reference that is no picture.
        """
        return [
            to_png(pixels, prompt.size) for pixels, prompt in zip(self.pixels(prompts, seed=seed), prompts, strict=True)
        ]

    def pixels(self, prompts: Sequence[PicturePrompt], *, seed: int) -> NDArray[np.uint8]:
        """The same at the model's own size, uint8 [n, 3, side, side].

        Args:
            prompts: what to draw.
            seed: same seed, same pictures.

        Raises:
            UnsupportedError: for preference tokens of another width.
            FeatureError: for a reference that is no picture.
        """
        side = self.model.network.size.side
        out = np.zeros((len(prompts), 3, side, side), np.uint8)
        groups: dict[float | None, list[int]] = {}
        for at, prompt in enumerate(prompts):
            groups.setdefault(None if prompt.reference is None else prompt.strength, []).append(at)
        for strength, rows in groups.items():
            for start in range(0, len(rows), BATCH):
                some = rows[start : start + BATCH]
                out[some] = self._draw([prompts[at] for at in some], seed, strength).cpu().numpy()
        return out

    def _draw(self, prompts: Sequence[PicturePrompt], seed: int, strength: float | None) -> Tensor:
        network = self.model.network
        size, device = network.size, network.shift.device
        noise = torch.randn(1, size.latent, size.places, size.places, generator=torch_stream(seed, "picture"))
        reference = None
        if strength is not None:
            shown = [read_pixels(prompt.reference or b"", size.side) for prompt in prompts]
            reference = network.latents(torch.from_numpy(np.stack(shown)).to(device))
        conditions = prompt_conditions(prompts, self.model, reference)
        negative = _words([[(word, 1.0) for word in prompt.negative] for prompt in prompts], self.model.vocabulary)
        guidance = torch.tensor([prompt.guidance for prompt in prompts])
        latents = network.sample(
            noise.expand(len(prompts), -1, -1, -1).to(device),
            conditions.to(device),
            Conditions(*negative).to(device),
            guidance.to(device),
            self.steps,
            self.sampler,
            reference,
            1.0 if strength is None else strength,
        )
        return network.decode(latents)


def prompt_conditions(prompts: Sequence[PicturePrompt], model: PictureModel, reference: Tensor | None) -> Conditions:
    """What prompts condition pictures on.

    Args:
        prompts: a batch; of all with a reference, or of none.
        model: whose vocabulary counts.
        reference: latents of the references, whose coarse grid is a token of weight 1 - strength.

    Raises:
        UnsupportedError: for preference tokens of another width.
    """
    network = model.network
    ids, weights = _words([prompt.words for prompt in prompts], model.vocabulary)
    pictures = picture_weights = extra = extra_weights = None
    if reference is not None:
        pictures = network.describe(reference)
        picture_weights = torch.tensor([1.0 - prompt.strength for prompt in prompts]).clamp(min=0)
    longest = max((len(prompt.preference) for prompt in prompts if prompt.preference is not None), default=0)
    if longest:
        extra = torch.zeros(len(prompts), longest, network.size.dim)
        extra_weights = torch.zeros(len(prompts), longest)
        for at, prompt in enumerate(prompts):
            if prompt.preference is None:
                continue
            tokens = torch.as_tensor(np.asarray(prompt.preference, np.float32))
            if tokens.ndim != 2 or tokens.shape[1] != network.size.dim:
                raise UnsupportedError(
                    f"preference tokens of shape {tuple(tokens.shape)}, this model takes [n, {network.size.dim}]"
                )
            extra[at, : len(tokens)] = tokens
            extra_weights[at, : len(tokens)] = max(0.0, prompt.preference_weight)
    return Conditions(ids, weights, pictures, picture_weights, extra, extra_weights)


def _words(phrases: Sequence[Sequence[tuple[str, float]]], vocabulary: PictureVocabulary) -> tuple[Tensor, Tensor]:
    """Tokens and weights [B, m]; each token of a phrase has its weight, those of 0 or less are left out."""
    rows = []
    for words in phrases:
        tokens: dict[int, float] = {}
        for phrase, weight in words:
            for token in vocabulary.phrase(phrase):
                tokens[token] = tokens.get(token, 0.0) + weight
        rows.append([(token, weight) for token, weight in tokens.items() if weight > 0])
    ids = torch.zeros(len(rows), max([1, *map(len, rows)]), dtype=torch.int64)
    weights = torch.zeros(ids.shape)
    for at, row in enumerate(rows):
        for place, (token, weight) in enumerate(row):
            ids[at, place], weights[at, place] = token, weight
    return ids, weights


def read_pixels(picture: bytes, side: int) -> NDArray[np.uint8]:
    """A picture at the size of a model, uint8 [3, side, side], as pictures are read in training.

    Args:
        picture: encoded.
        side: pixels.

    Raises:
        FeatureError: if it is none.
    """
    image = open_image(picture, near=side).resize((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image, np.uint8).transpose(2, 0, 1)


def to_png(pixels: NDArray[np.uint8], size: tuple[int, int]) -> bytes:
    """PNG of a square picture, cut in the middle and scaled.

    Args:
        pixels: uint8 [3, side, side].
        size: (width, height).
    """
    image = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    if image.size != tuple(size):
        image = ImageOps.fit(image, size, Image.Resampling.LANCZOS)
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()
