"""Parts of news encoders and user encoders that more than one system has."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from palate.modules.attended import AdditiveAttention
from palate.modules.attention import Attention


class AttentivePool(nn.Module):
    """Additive attention over vectors of which some, or all, are missing.

    Args:
        dim: width of the vectors.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.attention = AdditiveAttention(dim)

    def forward(self, vectors: Tensor, there: Tensor) -> Tensor:
        """One vector float32 [n, dim]; zero where nothing is there.

        Args:
            vectors: float32 [n, m, dim].
            there: bool [n, m].
        """
        out: Tensor = self.attention((vectors, there)) * there.any(1, keepdim=True)
        return out


class SelfAttention(nn.Module):
    """Multi-head self-attention over vectors of which some, or all, are missing.

    Args:
        dim: width of the vectors, a multiple of ``heads``.
        heads: number of heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.attention = Attention(dim, heads)

    def forward(self, vectors: Tensor, there: Tensor) -> Tensor:
        """Vectors float32 [n, m, dim] in the light of each other; meaningless where nothing is there.

        Args:
            vectors: float32 [n, m, dim].
            there: bool [n, m].
        """
        # a row without anything attends to all of it, since a softmax over nothing is no number
        allowed = there | ~there.any(1, keepdim=True)
        out: Tensor = self.attention(vectors, vectors, allowed[:, None].expand(-1, vectors.shape[1], -1))
        return out


class WordConvolution(nn.Module):
    """relu(convolution) over neighbouring tokens, padding read as zero.

    Args:
        width: of the tokens.
        dim: filters.
        window: tokens that a filter sees.
        dilation: distance between them.
    """

    def __init__(self, width: int, dim: int, window: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.filters = nn.Conv1d(width, dim, window, dilation=dilation)
        self.margin = dilation * (window - 1)

    def forward(self, tokens: Tensor, there: Tensor) -> Tensor:
        """Filter responses float32 [n, m, dim], zero at padding.

        Args:
            tokens: float32 [n, m, width].
            there: bool [n, m].
        """
        shown = (tokens * there[..., None]).transpose(1, 2)
        shown = F.pad(shown, (self.margin // 2, self.margin - self.margin // 2))
        return F.relu(self.filters(shown)).transpose(1, 2) * there[..., None]


def candidate_pool(scores: Tensor, clicked: Tensor, there: Tensor) -> Tensor:
    """sum_j softmax_j(scores) clicked_j over the articles that are there, float32 [n, dim]; zero without any.

    Args:
        scores: float32 [n, m].
        clicked: float32 [n, m, dim].
        there: bool [n, m].
    """
    weights = scores.masked_fill(~there, torch.finfo(scores.dtype).min).softmax(1) * there
    return torch.einsum("nm,nmd->nd", weights, clicked)


def run_recurrent(network: nn.GRU | nn.LSTM, vectors: Tensor, there: Tensor) -> Tensor:
    """States of a recurrent network over histories, float32 [n, m, hidden]; zero at padding.

    Args:
        network: with ``batch_first``.
        vectors: float32 [n, m, width], padded on the left.
        there: bool [n, m].
    """
    length = vectors.shape[1]
    count = there.sum(1)
    place = torch.arange(length, device=there.device)
    to_left = (place + length - count[:, None]) % length
    packed = nn.utils.rnn.pack_padded_sequence(
        vectors.gather(1, to_left[..., None].expand_as(vectors)),
        count.clamp(min=1).cpu(),
        batch_first=True,
        enforce_sorted=False,
    )
    states, _ = nn.utils.rnn.pad_packed_sequence(network(packed)[0], batch_first=True, total_length=length)
    to_right = (place - (length - count[:, None])) % length
    return states.gather(1, to_right[..., None].expand_as(states)) * there[..., None]
