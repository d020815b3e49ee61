"""What frozen blocks make of a text is the same at every step: it is kept, within a limit, and not made again."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.network import Staged
from palate.modules.towers import State, Tokens

LIMIT = 1 << 30
"""Bytes of states that are kept at most; then the oldest go first."""


class Remember:
    """Runs a tower of sequences whose input and lower blocks are frozen, those as they are when they do not train.

    Args:
        split: number of frozen blocks. limit: bytes.
    """

    def __init__(self, split: int, limit: int = LIMIT) -> None:
        self.split, self.limit, self.size = split, limit, 0
        self.states: dict[bytes, tuple[Tensor, int]] = {}

    def __call__(self, tower: Staged, inputs: Tensor) -> Tokens:
        """Tokens of inputs [B, T] as ``tower`` makes them; padding is last in a row."""
        keys = [row.tobytes() for row in inputs.cpu().numpy()]
        new = {key: place for place, key in enumerate(keys) if key not in self.states}
        made = dict(zip(new, self.below(tower, inputs[list(new.values())]))) if new else {}
        rows = [self.states[key] if key in self.states else made[key] for key in keys]
        self.keep(made)
        values = torch.nn.utils.rnn.pad_sequence([row for row, _ in rows], batch_first=True)
        lengths = torch.tensor([length for _, length in rows], device=values.device)
        state: State = values, torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        for place in range(self.split, len(tower.blocks())):
            state = tower.step(place, state)
        return tower.end(state)

    @torch.no_grad()
    def below(self, tower: Staged, inputs: Tensor) -> list[tuple[Tensor, int]]:
        """States [t, d] at the split, and how many of them there are; one stands where there is none."""
        assert isinstance(tower, torch.nn.Module)
        was = tower.training
        tower.eval()
        state = tower.start(inputs)
        for place in range(self.split):
            state = tower.step(place, state)
        tower.train(was)
        values, mask = state
        assert mask is not None
        return [(row[: max(n, 1)].clone(), n) for row, n in zip(values, mask.sum(1).tolist())]

    def keep(self, made: dict[bytes, tuple[Tensor, int]]) -> None:
        """Add states; the oldest go while there are too many."""
        self.states |= made
        self.size += sum(row.nbytes for row, _ in made.values())
        while self.size > self.limit:
            self.size -= self.states.pop(next(iter(self.states)))[0].nbytes
