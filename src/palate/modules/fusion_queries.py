"""Learnt queries that read the modalities of an item through joint self-attention (Fusion-Q-Former of EM3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FusionQueries(nn.Module):
    """Queries and tokens attend to each other; the queries' states, one after the other, are the vector.

    Its width does not depend on the number of modalities, nor on which are present.

    Args:
        dim: width of the tokens.
        queries: number of queries Q.
        layers: of the Transformer.
        heads: of the Transformer; they divide ``dim``.
    """

    def __init__(self, dim: int, queries: int, layers: int, heads: int) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(queries, dim) * dim**-0.5)
        layer = nn.TransformerEncoderLayer(dim, heads, 4 * dim, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, tokens: Tensor, present: Tensor) -> Tensor:
        """Vectors float32 [n, Q * dim].

        Args:
            tokens: float32 [n, m, dim].
            present: bool [n, m]; absent tokens are not read.
        """
        queries = self.queries.expand(len(tokens), -1, -1)
        hidden = torch.cat([present.new_zeros(queries.shape[:2]), ~present], 1)
        states: Tensor = self.layers(torch.cat([queries, tokens], 1), src_key_padding_mask=hidden)
        return states[:, : queries.shape[1]].flatten(1)
