"""PMG (Shen et al., WWW 2024): pictures from hard keywords and soft tokens of a user's taste.

E_p = [m(history); keywords], trained with frozen diffusion so that E_p denoises pictures of items that the user really
took: loss = w_t |v - v_theta(z_t, t, E_p)|^2. Drawn with target and preference weighted w_t = 1 : w_p; of several w_p
the picture with the best z = alpha log d_p + (1 - alpha) log d_t is kept (see
:mod:`palate.generation.scoring.picture_space`).

Ours: keywords are attribute values by lift, or the request's preferences, not a language model's; two layers make the
4 soft tokens (:mod:`palate.modules.diffusion.preference`), trained beside some of the item's values; w_p is any number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from palate.batches.examples import ExampleBatches
from palate.contracts import Capabilities, Generated, GenerationRequest, Phase, PicturePrompt, generators
from palate.core.batch import BatchSource, ExampleBatch
from palate.core.config import TrainedConfig
from palate.core.context import RunContext
from palate.core.errors import ConfigError, NotFittedError
from palate.core.seeding import rng_for
from palate.data.views import TrainView
from palate.generation.drawing.painter import Painter
from palate.generation.drawing.pairs import taste_examples
from palate.generation.drawing.pictures import PictureSet
from palate.generation.drawing.prompts import (
    item_words,
    number_option,
    picture_prompt,
    refuse_other_kinds,
    shown_evidence,
    weighted,
)
from palate.generation.drawing.selection import best_by_z, most_alike
from palate.generation.drawing.taste import SHARES, history_counts, read_mapper, read_taste, soft_tokens
from palate.generation.drawing.train import PictureTrainer
from palate.generation.drawing.weights import PictureModel, read_picture_model
from palate.generation.scoring.picture_space import PictureSpace
from palate.modules.diffusion.network import Conditions
from palate.modules.diffusion.preference import keyword_lift


@generators.register("pmg")
class PMG(PictureTrainer):
    """Personalised pictures by weighted conditions, the best of several kept."""

    name = "pmg"
    paper = "Shen et al., WWW 2024"
    kinds = ("product_picture",)
    capabilities = Capabilities(new_items=True, new_users=True)
    presets = {"tuned": {"reference": True, "draws": 2, "ratios": (0.0, 0.5, 1.0, 2.0)}}

    class Config(TrainedConfig):
        """Settings of PMG."""

        weights: str = Field("", description="picture model that is trained on, or that was: then its tokens are used")
        lr: float = Field(2e-3, gt=0, description="learning rate of the preference tokens")
        batch_size: int = Field(32, ge=1, description="pairs of user and item in a batch")
        epochs: int = Field(10, ge=1, description="epochs over pairs of user and item")
        tokens: int = Field(4, ge=1, description="soft preference tokens")
        hidden: int = Field(256, ge=1, description="width of the layer that makes them")
        keywords: int = Field(8, ge=0, description="hard keywords of a user, at most")
        keyword_drop: float = Field(0.5, ge=0, le=1, description="probability to train without hard keywords")
        item_drop: float = Field(0.5, ge=0, le=1, description="probability to train without a value of the item")
        history: int = Field(20, ge=1, description="items of a history that are read, the newest")
        soft: bool = Field(True, description="use the soft tokens; off: keywords alone")
        ratios: tuple[float, ...] = Field((0.0, 0.5, 1.0, 2.0), min_length=1, description="w_p that are tried")
        alpha: float = Field(2 / 3, ge=0, le=1, description="weight of d_p in z")
        space: str | None = Field(None, description="encoder that measures d_p and d_t; the best installed by default")
        draws: int = Field(1, ge=1, le=64, description="pictures of each ratio, with noises of their own")
        reference: bool = Field(False, description="start from the history's picture whose item is most like the item")
        strength: float = Field(0.8, gt=0, le=1, description="how much of that picture is drawn anew; 1 forgets it")
        guidance: float = Field(3.0, ge=1, le=20, description="scale of guidance when drawing; 1 is none")
        steps: int = Field(20, ge=1, le=1000, description="evaluations of the network when drawing")

    config: Config
    painter: Painter | None = None
    pictures: PictureSet
    latents: Tensor
    pairs: ExampleBatches
    attributes: Tensor
    shares: Tensor

    def open(self) -> Painter:
        """Read the picture model, and the preference tokens if it has some.

        Raises:
            NotFittedError: without weights.
        """
        if self.painter is None:
            c = self.config
            if not c.weights:
                raise NotFittedError(f"{self.name} has no weights", hint="the setting weights=DIR of train-pictures")
            self.painter = Painter(read_picture_model(c.weights), c.steps)
            self.mapper, self.shares = read_mapper(self.painter.model, c.tokens, c.hidden)
        return self.painter

    def setup(self, train: TrainView, run: RunContext) -> None:
        super().setup(train, run)
        model, items = self.open().model, train.items_table
        self.pictures = PictureSet.read(items, model.vocabulary, model.network.size.side)
        self.latents = model.network.latents(self.pictures.pixels)
        examples = taste_examples(train, self.pictures.place, self.config.history)
        if not len(examples):
            raise ConfigError("no user took two items, one of them with a picture", key="data")
        self.pairs = ExampleBatches(examples)
        self.attributes = torch.from_numpy(model.vocabulary.attribute_table(items))
        counts = torch.bincount(self.attributes.flatten(), minlength=model.vocabulary.n_attributes + 1)[1:]
        self.shares = ((counts.float() + 1) / (len(items) + 1)).clamp(max=1.0)

    def batches(self, train: TrainView, run: RunContext) -> BatchSource:
        return self.pairs

    def phases(self) -> list[Phase]:
        return [self.phase("preference", groups=[*self.mapper.parameters()])]

    def loss(self, batch: ExampleBatch) -> Mapping[str, Tensor]:
        network, c, rows = self.open().model.network, self.config, batch.rows.cpu()
        read, known = rows[:, 1:], rows[:, 1:] >= 0
        counts = history_counts(self.attributes, read, len(self.shares))
        found, weights = keyword_lift(counts, known.sum(1).float(), self.shares, max(1, c.keywords))
        ids, weights = found + 1, weights * (c.keywords > 0)
        place = torch.from_numpy(self.pictures.place)[read.clamp(min=0)]
        shown = known & (place >= 0)
        vectors = network.describe(self.latents[place.clamp(min=0)].flatten(0, 1)).unflatten(0, place.shape)
        soft = self.mapper(network.denoiser.tokens(ids), weights, vectors, shown)
        hard = weights * (torch.rand(len(rows), 1) >= c.keyword_drop)
        latents = self.latents[torch.from_numpy(self.pictures.place)[rows[:, 0]]]
        own = self.attributes[rows[:, 0]]
        given = (own > 0).float() * (torch.rand(own.shape) >= c.item_drop)
        words = torch.cat([ids, own], 1), torch.cat([hard, given], 1)
        conditions = Conditions(*words, None, None, soft, torch.ones(soft.shape[:2]))
        return {"loss": network.denoising_loss(latents, conditions)}

    def picture_model(self) -> PictureModel:
        model = self.open().model
        more = {**self.mapper.state_dict(), SHARES: self.shares}
        return PictureModel(model.network, model.vocabulary, "unsaved", more=more)

    def candidates(self, requests: Sequence[GenerationRequest]) -> list[list[PicturePrompt]]:
        """One prompt a ratio for each request.

        Args:
            requests: a batch.

        Raises:
            NotFittedError: for weights without preference tokens.
        """
        model, c = self.open().model, self.config
        if not len(self.shares):
            hint = f"palate train-pictures DATA --model pmg --set weights={c.weights} --out DIR"
            raise NotFittedError(f"{c.weights} has no preference tokens", hint=hint)
        tastes = [read_taste(one, model, self.shares, c.keywords, c.history) for one in requests]
        soft = soft_tokens(tastes, model, self.mapper).numpy() if c.soft else [None] * len(requests)
        made = []
        for request, taste, tokens in zip(requests, tastes, soft, strict=True):
            own, known = item_words(request.item, model.vocabulary), bool(taste.words or len(taste.pictures))
            some = [
                picture_prompt(request, own + weighted(taste.words, w), c.guidance, tokens if known else None, w)
                for w in (self.ratios(request) if known else (0.0,))
            ]
            start = most_alike(request, model.vocabulary) if c.reference else None
            if start is not None:
                some = [one if one.reference else replace(one, reference=start, strength=c.strength) for one in some]
            made.append(some)
        return made

    def ratios(self, request: GenerationRequest) -> tuple[float, ...]:
        """The w_p that are tried: the option ``ratio`` of the request, or those of the settings."""
        if "ratio" in request.options:
            return (number_option(request, "ratio", 1.0, 0.0, 100.0),)
        return self.config.ratios

    def generate(self, requests: Sequence[GenerationRequest], *, seed: int = 0) -> list[Generated]:
        refuse_other_kinds(requests, self.kinds, self.name)
        painter, c, prompts = self.open(), self.config, self.candidates(requests)
        # the seed itself first, so that more draws keep the first one
        seeds = [seed, *rng_for(seed, "draws").integers(2**31, size=c.draws - 1).tolist()]
        flat = [one for some in prompts for one in some]
        drawn = [iter(painter.draw(flat, seed=one)) for one in seeds]
        space, made = PictureSpace(c.space), []
        for request, some in zip(requests, prompts, strict=True):
            pictures = [next(images) for images in drawn for _ in some]
            plain = pictures[0] if some[0].preference_weight == 0 else None
            best, scores = best_by_z(pictures, request, space, c.alpha, plain)
            # without pictures to compare with, the ratio nearest to equal weights
            best = best if best >= 0 else int(np.argmin([abs(one.preference_weight - 1) for one in some]))
            ratio = f"{some[best % len(some)].preference_weight:g}"
            about = {"model": self.name, "version": painter.version, "backend": painter.name, "seed": str(seed)}
            evidence = shown_evidence(request, painter.model.vocabulary)
            provenance = {**about, "ratio": ratio, "space": space.name}
            made.append(Generated(image=pictures[best], evidence=evidence, provenance=provenance, scores=scores))
        return made
