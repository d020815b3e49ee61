"""FIM (Wang et al., ACL 2020): words of candidate and clicked titles are matched, level by level, before any pooling.

Dilated convolutions (dilation 1, 2, 3) over the embedded words give L + 1 levels d^0 .. d^L of a title. For each
clicked title and level, M^l = d^l_candidate d^l_clicked^T / sqrt(dim), [words x words]. The maps of all clicked titles
are one volume with L + 1 channels; 3-D convolutions with max-pooling and a linear layer give the score. It contributes
fine-grained matches (``levels=0`` matches embedded words alone). O(L words^2 dim) for each candidate and clicked title.
Our choices: fewer filters (4 and 8 instead of 32 and 16), and a mean over what the second convolution leaves.
Where there are no titles, attributes and content take the place of words.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from palate.contracts import InputSpec, models
from palate.core.batch import ImpressionBatch
from palate.models.rank.shared.news_ranker import NewsConfig, NewsRanker
from palate.modules.article_parts import WordConvolution

PART = 256
"""Events matched at once."""


@models.register("fim")
class FIM(NewsRanker):
    """News recommendation by fine-grained interest matching."""

    name = "fim"
    paper = "Wang et al., Fine-grained Interest Matching for Neural News Recommendation, ACL 2020"

    class Config(NewsConfig):
        """Settings."""

        longest: int = Field(20, ge=1, description="newest articles that a history keeps")
        title_words: int = Field(10, ge=1, description="words kept of a title")
        levels: int = Field(3, ge=0, description="dilated convolutions over a title")
        filters: int = Field(4, ge=1, description="filters of the first 3-D convolution; twice as many of the second")

    config: Config

    def build_parts(self, shape: InputSpec) -> None:
        c = self.config
        self.stack = nn.ModuleList(WordConvolution(c.dim, c.dim, 3, 1 + level) for level in range(c.levels))
        self.norms = nn.ModuleList(nn.LayerNorm(c.dim) for _ in range(c.levels))
        self.first = nn.Conv3d(c.levels + 1, c.filters, 3, padding=1)
        self.second = nn.Conv3d(c.filters, 2 * c.filters, 3, padding=1)
        self.out = nn.Linear(2 * c.filters, 1)
        self.nobody.requires_grad_(False)

    def encode(self, rows: Tensor) -> Tensor:
        """Levels of titles, float32 [n, levels + 1, words, dim]."""
        state, there = self.tokens(rows, self.views)
        levels = [state]
        for convolution, norm in zip(self.stack, self.norms):
            state = norm(convolution(state, there)) * there[..., None]
            levels.append(state)
        return torch.stack(levels, 1)

    def score(self, candidates: Tensor, clicked: Tensor, there: Tensor, batch: ImpressionBatch) -> Tensor:
        parts = [self.match(candidates[at], clicked[batch.groups[at]]) for at in self.parts(len(candidates))]
        return torch.cat(parts) if parts else candidates.new_zeros(0)

    def parts(self, n: int) -> list[slice]:
        """Slices of at most ``PART`` events."""
        return [slice(start, start + PART) for start in range(0, n, PART)]

    def match(self, candidates: Tensor, clicked: Tensor) -> Tensor:
        """Scores of candidates by all clicked titles.

        Args:
            candidates: float32 [n, levels, words, dim].
            clicked: float32 [n, length, levels, words, dim].

        Returns:
            float32 [n].
        """
        maps = torch.einsum("nlwd,nhlvd->nlhwv", candidates, clicked) / candidates.shape[-1] ** 0.5
        volume = self.shrink(F.elu(self.first(maps)))
        volume = F.elu(self.second(volume))
        scores: Tensor = self.out(volume.mean((2, 3, 4)))[:, 0]
        return scores

    def shrink(self, volume: Tensor) -> Tensor:
        """Max-pooling by 3 along each axis, or by what the axis has."""
        return F.max_pool3d(volume, [min(3, size) for size in volume.shape[2:]])
