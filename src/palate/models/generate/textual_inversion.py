"""Textual Inversion (Gal et al., ICLR 2023): one pseudo-word for what a user's pictures have in common.

v* = argmin_v E |v - v_theta(z_t, t, v)|^2 over the user's pictures, network and vocabulary frozen; then the item's
attributes and v* are drawn together. Starts from the mean token of the user's keywords, their coarse word. Ours: the
learning rate and number of steps suit a small network (the paper: 5e-3, 5,000 steps, one concept of 3 to 5 pictures).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from pydantic import Field

from palate.contracts import Capabilities, Generated, GenerationRequest, Generator, generators
from palate.core.config import ModelConfig
from palate.core.errors import NotFittedError
from palate.generation.drawing.inversion import learn_tokens
from palate.generation.drawing.painter import Painter
from palate.generation.drawing.prompts import item_words, picture_prompt, refuse_other_kinds, shown_evidence
from palate.generation.drawing.taste import Taste, read_taste
from palate.generation.drawing.weights import read_picture_model
from palate.modules.diffusion.samplers import SamplerName


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

    def condition(self, requests: Sequence[GenerationRequest]) -> list[Taste]:
        model, c = self.open().model, self.config
        shares = torch.full((model.vocabulary.n_attributes,), 1 / max(model.vocabulary.n_attributes, 1))
        return [read_taste(request, model, shares, 8, c.pictures) for request in requests]

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        refuse_other_kinds(requests, self.kinds, self.name)
        painter, c = self.open(), self.config
        network, vocabulary = painter.model.network, painter.model.vocabulary
        prompts = []
        for request, taste in zip(requests, self.condition(requests), strict=True):
            token = None
            if len(taste.pictures) and c.token_weight > 0:
                tokens = [token for phrase, _ in taste.words for token in vocabulary.phrase(phrase)]
                start = network.denoiser.tokens.weight[tokens].mean(0) if tokens else network.denoiser.always
                latents = network.latents(taste.pictures)
                token = learn_tokens(
                    network, [latents], start[None], steps=c.inversion_steps, lr=c.inversion_lr, seed=seed
                )[0].numpy()
            words = item_words(request.item, vocabulary)
            prompts.append(picture_prompt(request, words, c.guidance, token, c.token_weight))
        about = {"model": self.name, "version": painter.version, "backend": painter.name, "seed": str(seed)}
        return [
            Generated(image=image, evidence=shown_evidence(request, vocabulary), provenance=about)
            for image, request in zip(painter.draw(prompts, seed=seed), requests, strict=True)
        ]
