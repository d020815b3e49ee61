"""Items within a prompt: the words of their id, visual tokens behind them, and what marks both."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from palate.modules.text_generation.visual_tokens import VisualTokens


class ItemTokens(nn.Module):
    """Tokens of items (VIP5): words of an item share a whole-word embedding; words and visual tokens have a category.

    Whole-word and category embeddings start at zero.

    Args:
        width: of the vectors of pictures; 0 for none.
        dim: of the tokens.
        visual: visual tokens of an item.
        items: items of a prompt at most.
        whole_words: False leaves whole-word embeddings out.
        categories: False leaves category embeddings out.

    Attributes:
        seeing: False leaves visual tokens out.
    """

    def __init__(self, width: int, dim: int, visual: int, items: int, whole_words: bool, categories: bool) -> None:
        super().__init__()
        self.visual = VisualTokens(width, dim, visual) if width and visual else None
        self.whole = nn.Parameter(torch.zeros(items, dim)) if whole_words else None
        self.category = nn.Parameter(torch.zeros(2, dim)) if categories else None
        self.seeing = True

    def forward(
        self, words: Tensor, here: Tensor, image: Tensor, present: Tensor, first: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Lay items out one after the other.

        Args:
            words: embedded words of ids [B, N, w, d].
            here: bool [B, N, w], words that are there.
            image: [B, N, width].
            present: bool [B, N], pictures that are there.
            first: whole-word embedding of the first item; the others follow.

        Returns:
            Tokens [B, N * (w + visual), d], and their mask.
        """
        tokens, masks = [words if self.category is None else words + self.category[0]], [here]
        if self.visual is not None and self.seeing:
            seen = self.visual(image)
            tokens.append(seen if self.category is None else seen + self.category[1])
            masks.append(present[..., None].expand(-1, -1, self.visual.n))
        x, mask = torch.cat(tokens, 2), torch.cat(masks, 2)
        if self.whole is not None:
            x = x + self.whole[first : first + x.shape[1], None]
        return x.flatten(1, 2), mask.flatten(1, 2)
