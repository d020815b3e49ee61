"""Recurrent networks over histories of different lengths."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def run_in_order(network: nn.GRU, values: Tensor, there: Tensor) -> Tensor:
    """States of a recurrent network after each item of a history, float32 [n, L, hidden]; zero at padding.

    The last column is the state after the newest item, zero for an empty history.

    Args:
        network: ``batch_first``, of one direction.
        values: float32 [n, L, d], oldest first.
        there: bool [n, L], False at padding, which is on the left.
    """
    n, longest, _ = values.shape
    lengths = there.sum(1)
    some = lengths > 0
    states = values.new_zeros(n, longest, network.hidden_size)
    if not bool(some.any()):
        return states
    columns = torch.arange(longest, device=values.device)
    shift = (longest - lengths)[:, None]
    ahead = (columns + shift).clamp(max=longest - 1)[..., None].expand_as(values)
    packed = pack_padded_sequence(
        values.gather(1, ahead)[some], lengths[some].cpu(), batch_first=True, enforce_sorted=False
    )
    states[some] = pad_packed_sequence(network(packed)[0], batch_first=True, total_length=longest)[0]
    back = (columns - shift).clamp(min=0)[..., None].expand_as(states)
    return states.gather(1, back) * there[..., None]
