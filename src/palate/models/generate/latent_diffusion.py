"""Latent diffusion of item pictures (Rombach et al., CVPR 2022; transformer: Peebles & Xie, ICCV 2023).

z_t = alpha_t E(x) + sigma_t eps, loss = w_t |v - v_theta(z_t, t, c)|^2 with v = alpha eps - sigma E(x), and c the
tokens of the item's attributes, words of its texts and the coarse grid of a picture; guidance v_0 + s (v_c - v_0).

Ours: a small autoencoder, trained first, whose latents are kept; v and min-SNR weights instead of eps; weights of
tokens act as repetitions (see :mod:`palate.modules.diffusion.transformer`). Each attribute, all words, the picture and
all conditions at once are dropped in training, so that any of them may be left out when drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.batches.examples import ExampleBatches
from palate.contracts import Capabilities, Generated, GenerationRequest, Phase, generators
from palate.contracts.phase import OptimizerName
from palate.core.batch import BatchSource, ExampleBatch
from palate.core.config import ScheduleName, TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import NotFittedError
from palate.data.views import TrainView
from palate.generation.drawing.painter import Painter
from palate.generation.drawing.pictures import PictureSet
from palate.generation.drawing.prompts import (
    item_words,
    picture_prompt,
    preference_words,
    refuse_other_kinds,
    shown_evidence,
    weighted,
)
from palate.generation.drawing.train import PictureTrainer
from palate.generation.drawing.vocabulary import PictureVocabulary
from palate.generation.drawing.weights import PictureModel, read_picture_model
from palate.modules.diffusion.autoencoder import kl_to_standard_normal, pyramid_loss
from palate.modules.diffusion.moving_average import MovingAverage
from palate.modules.diffusion.network import Conditions, LatentDiffusionNetwork, NetworkSize, from_bytes
from palate.modules.diffusion.samplers import SamplerName


@generators.register("latent_diffusion")
class LatentDiffusion(PictureTrainer):
    """Draws an item's attributes, leaning towards what the user likes."""

    name = "latent_diffusion"
    paper = "Rombach et al., CVPR 2022; Peebles & Xie, ICCV 2023"
    kinds = ("product_picture",)
    capabilities = Capabilities(new_items=True, new_users=True)

    class Config(TrainedConfig):
        """Settings of latent diffusion."""

        dim: int = Field(128, ge=16, multiple_of=16, description="width of the transformer")
        lr: float = Field(1e-3, gt=0, description="learning rate of the transformer")
        optimizer: OptimizerName = Field("adamw", description="optimiser of the loop")
        schedule: ScheduleName = Field("cosine", description="decay of the learning rate over the steps of a phase")
        warmup_steps: int = Field(100, ge=0, description="steps in which the learning rate rises linearly")
        clip: float | None = Field(1.0, gt=0, description="largest L2 norm of all gradients together")
        batch_size: int = Field(32, ge=1, description="pictures of a batch")
        epochs: int = Field(60, ge=1, description="epochs of the diffusion")
        tokenizer_epochs: int = Field(15, ge=1, description="epochs of the autoencoder, before")
        tokenizer_lr: float = Field(2e-3, gt=0, description="learning rate of the autoencoder")
        side: int = Field(32, ge=16, le=512, multiple_of=16, description="height and width of pictures in pixels")
        channels: int = Field(48, ge=8, multiple_of=8, description="channels of the autoencoder")
        latent: int = Field(8, ge=1, le=48, description="channels of the latents")
        patch: int = Field(2, ge=1, le=4, description="latents on the side of one token of the transformer")
        depth: int = Field(6, ge=1, description="blocks of the transformer")
        heads: int = Field(4, ge=1, description="heads of attention; divides dim")
        kl: float = Field(1e-4, ge=0, description="weight of the divergence of latents from a standard normal")
        gamma: float = Field(5.0, gt=0, description="signal-to-noise ratio from which on examples do not weigh more")
        ema: float = Field(0.999, ge=0, lt=1, description="decay of the moving average of weights, which draws")
        condition_drop: float = Field(0.1, ge=0, le=1, description="probability to train without any condition")
        attribute_drop: float = Field(0.1, ge=0, le=1, description="probability to leave out an attribute")
        word_drop: float = Field(0.7, ge=0, le=1, description="probability to leave out all words")
        picture_drop: float = Field(0.7, ge=0, le=1, description="probability to leave out the coarse picture")
        values: int = Field(64, ge=2, description="values of an attribute that are learnt, the most frequent")
        words: int = Field(512, ge=0, description="words of texts that are learnt, the most frequent")
        guidance: float = Field(3.0, ge=1, le=20, description="scale of guidance when drawing; 1 is none")
        steps: int = Field(20, ge=1, le=1000, description="evaluations of the network when drawing")
        sampler: SamplerName = Field("dpm", description="dpm (second order) or ddim")
        preference_weight: float = Field(0.5, ge=0, description="of the user's preferences against the item's values")
        weights: str = Field("", description="folder that palate train-pictures wrote; empty to train")

    config: Config
    network: LatentDiffusionNetwork
    vocabulary: PictureVocabulary
    pictures: PictureSet
    latents: Tensor | None = None
    painter: Painter | None = None

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        c, items = self.config, train.items_table
        self.vocabulary = PictureVocabulary.learn(items, c.values, c.words)
        self.pictures = PictureSet.read(items, self.vocabulary, c.side)
        size = NetworkSize(len(self.vocabulary), c.side, c.channels, c.latent, c.patch, c.dim, c.depth, c.heads)
        self.network = LatentDiffusionNetwork(size)
        self.network.autoencoder.start_from(from_bytes(self.pictures.pixels[:: max(1, len(self.pictures) // 1000)]))
        self.average = MovingAverage(self.network.denoiser, c.ema)

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return ExampleBatches(self.pictures.rows[:, None])

    def phases(self) -> list[Phase]:
        c = self.config
        coder, denoiser = self.network.autoencoder.parameters(), self.network.denoiser.parameters()
        return [
            self.phase(
                "tokenizer", loss=self.tokenizer_loss, groups=[*coder], lr=c.tokenizer_lr, epochs=c.tokenizer_epochs
            ),
            self.phase("diffusion", loss=self.diffusion_loss, groups=[*denoiser]),
        ]

    def tokenizer_loss(self, batch: ExampleBatch) -> Mapping[str, Tensor]:
        """Error of pictures that come back from their latents, and divergence of the latents."""
        pixels = from_bytes(self.pictures.pixels[self._places(batch)].to(batch.rows.device))
        made, mean, log_variance = self.network.autoencoder(pixels)
        error, divergence = pyramid_loss(made, pixels), kl_to_standard_normal(mean, log_variance)
        return {"loss": error + self.config.kl * divergence, "error": error, "divergence": divergence}

    def diffusion_loss(self, batch: ExampleBatch) -> Mapping[str, Tensor]:
        """Error of v under conditions of which some are dropped; the average takes its step here."""
        places, device = self._places(batch), batch.rows.device
        latents = self.all_latents(device)[places.to(device)]
        loss = self.network.denoising_loss(latents, self.training_conditions(places, latents), self.config.gamma)
        if self.training:
            self.average.update(self.network.denoiser)
        return {"loss": loss}

    def all_latents(self, device: torch.device) -> Tensor:
        """Latents of all pictures, made once after the tokenizer was trained."""
        if self.latents is None:
            pixels = self.pictures.pixels.to(device)
            self.network.standardise(pixels)
            self.latents = self.network.latents(pixels)
        return self.latents

    def training_conditions(self, places: Tensor, latents: Tensor) -> Conditions:
        """Conditions of some pictures, each part there or not by chance."""
        c, n, device = self.config, len(places), latents.device
        attributes, words = self.pictures.attributes[places], self.pictures.words[places]
        alone = torch.rand(n, 1, device=device) < c.condition_drop
        kept_values = (torch.rand(attributes.shape, device=device) >= c.attribute_drop) & ~alone
        kept_words = (torch.rand(n, 1, device=device) >= c.word_drop) & ~alone
        kept_picture = (torch.rand(n, 1, device=device) >= c.picture_drop) & ~alone
        ids = torch.cat([attributes, words], 1).to(device)
        kept = torch.cat([kept_values, kept_words.expand(words.shape)], 1)
        weights = ((ids > 0) & kept).float()
        return Conditions(ids, weights, self.network.describe(latents), kept_picture[:, 0].float())

    def _places(self, batch: ExampleBatch) -> Tensor:
        return torch.from_numpy(self.pictures.place[np.asarray(batch.rows[:, 0].cpu())])

    def picture_model(self) -> PictureModel:
        self.network.denoiser.load_state_dict(self.average.average.state_dict())
        return PictureModel(self.network.requires_grad_(False).eval(), self.vocabulary, "unsaved")

    def open(self) -> Painter:
        """What draws, read at first use.

        Raises:
            NotFittedError: without weights.
        """
        if self.painter is None:
            c = self.config
            if not c.weights:
                hint = "palate train-pictures DATA --out DIR, then the setting weights=DIR"
                raise NotFittedError(f"{self.name} has no weights", hint=hint)
            self.painter = Painter(read_picture_model(c.weights), c.steps, c.sampler)
        return self.painter

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        refuse_other_kinds(requests, self.kinds, self.name)
        painter, c = self.open(), self.config
        vocabulary, prompts = painter.model.vocabulary, []
        for request in requests:
            liked = weighted(preference_words(request.preferences, vocabulary), c.preference_weight)
            prompts.append(picture_prompt(request, item_words(request.item, vocabulary) + liked, c.guidance))
        about = {"model": self.name, "version": painter.version, "backend": painter.name, "seed": str(seed)}
        return [
            Generated(image=image, evidence=shown_evidence(request, vocabulary), provenance=about)
            for image, request in zip(painter.draw(prompts, seed=seed), requests, strict=True)
        ]
