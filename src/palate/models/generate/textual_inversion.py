"""Textual Inversion (Gal et al., ICLR 2023): one pseudo-word for what a user's pictures have in common.

v* = argmin_v E |v - v_theta(z_t, t, v)|^2 over the user's pictures, network and vocabulary frozen; then the item's
attributes and v* are drawn together. Starts from the mean token of the user's keywords, their coarse word. Ours: the
learning rate and number of steps suit a small network (the paper: 5e-3, 5,000 steps, one concept of 3 to 5 pictures).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from palate.contracts import Capabilities, Generated, GenerationRequest, Generator, PicturePrompt, generators
from palate.core.config import ModelConfig
from palate.core.errors import NotFittedError
from palate.generation.drawing.inversion import learn_tokens
from palate.generation.drawing.painter import Painter
from palate.generation.drawing.prompts import item_words, picture_prompt, refuse_other_kinds, shown_evidence
from palate.generation.drawing.taste import read_taste
from palate.generation.drawing.weights import read_picture_model
from palate.modules.diffusion.samplers import SamplerName

Tokens = NDArray[np.float32]
BLOCK = 16
"""Users whose tokens are learnt at a time."""


@generators.register("textual_inversion")
class TextualInversion(Generator):
    """Draws an item with a token that is learnt from the user's pictures at each request."""

    name = "textual_inversion"
    paper = "Gal et al., ICLR 2023"
    kinds = ("product_picture",)
    capabilities = Capabilities(new_items=True, new_users=True)

    class Config(ModelConfig):
        """Settings of Textual Inversion."""

        weights: str = Field("", description="folder that palate train-pictures wrote")
        pictures: int = Field(5, ge=1, description="pictures of the history that are learnt from, the newest")
        inversion_steps: int = Field(150, ge=1, description="steps in which the token is learnt")
        inversion_lr: float = Field(5e-2, gt=0, description="learning rate of the token")
        inversion_batch: int = Field(16, ge=1, description="noisy pictures of a step")
        token_weight: float = Field(1.0, ge=0, description="weight of the token against an attribute of the item")
        guidance: float = Field(3.0, ge=1, le=20, description="scale of guidance when drawing; 1 is none")
        steps: int = Field(20, ge=1, le=1000, description="evaluations of the network when drawing")
        sampler: SamplerName = Field("dpm", description="dpm (second order) or ddim")

    config: Config
    painter: Painter | None = None

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

    def learn(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Tokens | None]:
        """The token of each user, float32 [1, dim]; None for a user without pictures.

        Args:
            requests: give the histories and their pictures.
            seed: of noise and times.

        Raises:
            NotFittedError: without weights.
        """
        model, c = self.open().model, self.config
        network, vocabulary = model.network, model.vocabulary
        shares = torch.full((vocabulary.n_attributes,), 1 / max(vocabulary.n_attributes, 1))
        tastes = [read_taste(request, model, shares, 8, c.pictures) for request in requests]
        known = [at for at, taste in enumerate(tastes) if len(taste.pictures)]
        learnt: list[Tokens | None] = [None] * len(requests)
        for start in range(0, len(known), BLOCK):
            rows, starts = known[start : start + BLOCK], []
            for at in rows:
                tokens = [token for phrase, _ in tastes[at].words for token in vocabulary.phrase(phrase)]
                starts.append(network.denoiser.tokens.weight[tokens].mean(0) if tokens else network.denoiser.always)
            found = learn_tokens(
                network,
                [network.latents(tastes[at].pictures) for at in rows],
                torch.stack(starts),
                steps=c.inversion_steps,
                lr=c.inversion_lr,
                batch=c.inversion_batch,
                seed=seed,
            )
            for at, token in zip(rows, found.numpy(), strict=True):
                learnt[at] = token
        return learnt

    def prompts(
        self, requests: Sequence[GenerationRequest], tokens: Sequence[Tokens | None], weight: float
    ) -> list[PicturePrompt]:
        """What is drawn: the item's attributes and the token, which weighs as much as given.

        Args:
            requests: a batch.
            tokens: of their users, see :meth:`learn`.
            weight: of the token against an attribute of the item; 0 leaves it out.
        """
        vocabulary, guidance = self.open().model.vocabulary, self.config.guidance
        return [
            picture_prompt(
                request, item_words(request.item, vocabulary), guidance, token if weight > 0 else None, weight
            )
            for request, token in zip(requests, tokens, strict=True)
        ]

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        refuse_other_kinds(requests, self.kinds, self.name)
        painter, weight = self.open(), self.config.token_weight
        tokens = self.learn(requests, seed=seed) if weight > 0 else [None] * len(requests)
        images = painter.draw(self.prompts(requests, tokens, weight), seed=seed)
        about = {"model": self.name, "version": painter.version, "backend": painter.name, "seed": str(seed)}
        return [
            Generated(image=image, evidence=shown_evidence(request, painter.model.vocabulary), provenance=about)
            for image, request in zip(images, requests, strict=True)
        ]
