"""A user's taste as conditions: keywords of a history, vectors of its pictures, tokens that are made of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from palate.contracts import GenerationRequest
from palate.core.errors import FeatureError
from palate.generation.drawing.painter import read_pixels
from palate.generation.drawing.prompts import Words, item_id, preference_words
from palate.generation.drawing.weights import PictureModel
from palate.modules.diffusion.preference import PreferenceMapper, keyword_lift

SHARES = "shares"
"""Name of the tensor of shares among those of a mapper."""


@dataclass(frozen=True, eq=False)
class Taste:
    """What is known of a user.

    Attributes:
        words: keywords with weights of mean 1.
        pictures: uint8 [h, 3, side, side], of the history, oldest first.
    """

    words: Words
    pictures: Tensor


def read_taste(request: GenerationRequest, model: PictureModel, shares: Tensor, most: int, longest: int) -> Taste:
    """The taste of a request: its preferences, or what lifts its history above the catalogue, and its pictures.

    Args:
        request: history and preferences of a user.
        model: that draws.
        shares: float32 [attributes], share of items that have each attribute value.
        most: keywords.
        longest: pictures, the newest; unreadable ones are left out.
    """
    vocabulary = model.vocabulary
    words = preference_words(request.preferences, vocabulary, most)
    if not words and request.history:
        names = {token: pair for pair, token in vocabulary.attribute_ids.items()}
        counts = torch.zeros(1, vocabulary.n_attributes)
        for item in request.history:
            for token in vocabulary.attributes_of(item):
                counts[0, token - 1] += 1
        if counts.any():
            found, weights = keyword_lift(counts, torch.tensor([float(len(request.history))]), shares, most)
            pairs = zip((found[0] + 1).tolist(), weights[0].tolist())
            words = [("=".join(names[token]), weight) for token, weight in pairs if weight > 0]
    shown: list[NDArray[np.uint8]] = []
    for item in request.history[::-1]:
        picture = request.images.get(item_id(item))
        if picture is not None and len(shown) < longest:
            try:
                shown.append(read_pixels(picture, model.network.size.side))
            except FeatureError:
                continue
    side = model.network.size.side
    pictures = np.stack(shown[::-1]) if shown else np.zeros((0, 3, side, side), np.uint8)
    return Taste(words, torch.from_numpy(pictures))


def read_mapper(model: PictureModel, tokens: int, hidden: int) -> tuple[PreferenceMapper, Tensor]:
    """What makes preference tokens, and the share of items that have each attribute value.

    Args:
        model: whose tensors are read, if it has some.
        tokens: of a mapper that is not trained yet.
        hidden: its inner width.

    Returns:
        The mapper, trained or new, and the shares, empty for a new one.
    """
    size, more = model.network.size, dict(model.more)
    shares = more.pop(SHARES, torch.zeros(0))
    if more:
        tokens, hidden = more["base"].shape[0], more["first.bias"].shape[0]
    mapper = PreferenceMapper(size.dim, size.picture_dim, tokens, hidden)
    if more:
        mapper.load_state_dict(more)
    return mapper, shares


def history_counts(attributes: Tensor, read: Tensor, n: int) -> Tensor:
    """Items of each history that have each attribute value, float32 [B, n].

    Args:
        attributes: int64 [items, m], attribute tokens, 0 for padding.
        read: int64 [B, h], items of the histories, -1 for padding.
        n: attribute values.
    """
    tokens = attributes[read.clamp(min=0)] * (read >= 0)[..., None]
    counts = torch.zeros(len(read), n + 1)
    counts.scatter_add_(1, tokens.flatten(1), torch.ones_like(tokens, dtype=torch.float32).flatten(1))
    return counts[:, 1:]


@torch.no_grad()
def soft_tokens(tastes: Sequence[Taste], model: PictureModel, mapper: PreferenceMapper) -> Tensor:
    """Preference tokens of users, float32 [B, n, dim].

    Args:
        tastes: of the users.
        model: whose space the tokens are of.
        mapper: trained on it.
    """
    network, rows = model.network, []
    for taste in tastes:
        pairs = [(token, weight) for phrase, weight in taste.words for token in model.vocabulary.phrase(phrase)]
        ids = torch.tensor([[token for token, _ in pairs] or [0]])
        weights = torch.tensor([[weight for _, weight in pairs] or [0.0]])
        if len(taste.pictures):
            vectors = network.describe(network.latents(taste.pictures))[None]
        else:
            vectors = torch.zeros(1, 1, network.size.picture_dim)
        shown = torch.full(vectors.shape[:2], bool(len(taste.pictures)))
        rows.append(mapper(network.denoiser.tokens(ids), weights, vectors, shown)[0])
    return torch.stack(rows) if rows else torch.zeros(0, *mapper.base.shape)
