"""Cache of the states that frozen blocks compute for a text, which are the same at every step."""

from __future__ import annotations

import torch
from torch import Tensor

from palate.modules.network import LayeredTower
from palate.modules.towers import State, Tokens

MAX_BYTES = 1 << 30
"""Default limit of the cached states; beyond it the oldest are dropped."""


class FrozenStateCache:
    """Runs a tower of sequences whose input and lower blocks are frozen; those run in evaluation mode.

    Args:
        split: number of frozen blocks.
        limit: bytes.
    """

    def __init__(self, split: int, limit: int = MAX_BYTES) -> None:
        self.split, self.limit, self.size = split, limit, 0
        self.states: dict[bytes, tuple[Tensor, int]] = {}

    def __call__(self, tower: LayeredTower, inputs: Tensor) -> Tokens:
        """Run ``tower`` from the split, computing only the states that are not cached.

        Args:
            tower: the tower.
            inputs: ids [B, T]; padding is last in a row.

        Returns:
            Tokens as ``tower`` makes them.
        """
        keys = [row.tobytes() for row in inputs.cpu().numpy()]
        missing = {key: index for index, key in enumerate(keys) if key not in self.states}
        new = dict(zip(missing, self.lower_states(tower, inputs[list(missing.values())]))) if missing else {}
        rows = [self.states[key] if key in self.states else new[key] for key in keys]
        self._add(new)
        values = torch.nn.utils.rnn.pad_sequence([row for row, _ in rows], batch_first=True)
        lengths = torch.tensor([length for _, length in rows], device=values.device)
        state: State = values, torch.arange(values.shape[1], device=values.device) < lengths[:, None]
        for index in range(self.split, len(tower.blocks())):
            state = tower.apply_block(index, state)
        return tower.finalize(state)

    @torch.no_grad()
    def lower_states(self, tower: LayeredTower, inputs: Tensor) -> list[tuple[Tensor, int]]:
        """States [t, d] at the split and the number of tokens of each text; an empty text has one padding state."""
        assert isinstance(tower, torch.nn.Module)
        was_training = tower.training
        tower.eval()
        state = tower.embed(inputs)
        for index in range(self.split):
            state = tower.apply_block(index, state)
        tower.train(was_training)
        values, mask = state
        assert mask is not None
        return [(row[: max(n, 1)].clone(), n) for row, n in zip(values, mask.sum(1).tolist())]

    def _add(self, new: dict[bytes, tuple[Tensor, int]]) -> None:
        """Add states; drop the oldest while the limit is exceeded."""
        self.states |= new
        self.size += sum(row.nbytes for row, _ in new.values())
        while self.size > self.limit:
            self.size -= self.states.pop(next(iter(self.states)))[0].nbytes
