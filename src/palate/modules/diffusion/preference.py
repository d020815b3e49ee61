"""From what a user took to condition tokens of a denoiser: the soft preference tokens of PMG."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.core.lift import shrunk_lift


class PreferenceMapper(nn.Module):
    """n tokens of a user's taste: the mean of their keywords, plus what two layers make of keywords and pictures.

    In the paper a language model with a trained prefix reads the history and n trained tokens; here the history has
    been read already, as weighted keyword tokens and picture vectors, and two layers take the place of the model.
    Their last layer starts at 0: untrained tokens say the keywords once more, which a frozen denoiser understands.
    Random tokens would be words that it never saw.

    Args:
        dim: width of condition tokens.
        picture_dim: width of a picture vector.
        tokens: n.
        hidden: width between the layers.
    """

    def __init__(self, dim: int, picture_dim: int, tokens: int = 4, hidden: int = 256) -> None:
        super().__init__()
        # not 0: tokens that start equal have equal gradients and stay equal
        self.base = nn.Parameter(torch.randn(tokens, dim) * 0.02)
        self.first = nn.Linear(dim + picture_dim + 2, hidden)
        self.second = nn.Linear(hidden, tokens * dim)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, keywords: Tensor, weights: Tensor, pictures: Tensor, shown: Tensor) -> Tensor:
        """Tokens [B, n, dim].

        Args:
            keywords: [B, k, dim], tokens of the user's keywords.
            weights: [B, k], 0 for padding.
            pictures: [B, h, picture_dim], of the history.
            shown: bool [B, h], False for padding.
        """
        named = _mean(keywords, weights)
        seen = _mean(pictures, shown.float())
        known = torch.stack([weights.sum(1) > 0, shown.any(1)], 1).float()
        inner = torch.nn.functional.silu(self.first(torch.cat([named, seen, known], 1)))
        out: Tensor = named[:, None] + self.base + self.second(inner).unflatten(1, self.base.shape)
        return out


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean over the second dimension, 0 where all weights are."""
    total = weights.sum(1, keepdim=True)
    return (values * weights[..., None]).sum(1) / total.clamp(min=1e-6)


def keyword_lift(
    counts: Tensor, sizes: Tensor, shares: Tensor, most: int, shrink: float = 3.0
) -> tuple[Tensor, Tensor]:
    """The keywords that a user takes more often than people do, and their weights of mean 1.

    The lift of a keyword is log of (count + s p) / (size + s) over p, with p the share of items that have it: a rate
    that is shrunk towards the share by s items.

    Args:
        counts: float32 [B, k], items of each history that have keyword 0 .. k - 1.
        sizes: float32 [B], items of each history.
        shares: float32 [k], above 0.
        most: keywords that are kept, at most.
        shrink: s.

    Returns:
        Keywords int64 [B, m] and weights float32 [B, m], 0 where there are no more.
    """
    lift = shrunk_lift(counts, sizes[:, None], shares, shrink).log() * (counts > 0)
    weights, found = lift.topk(min(most, lift.shape[1]), 1)
    weights = weights.clamp(min=0)
    number = (weights > 0).sum(1, keepdim=True)
    return found, weights * number / weights.sum(1, keepdim=True).clamp(min=1e-6)
