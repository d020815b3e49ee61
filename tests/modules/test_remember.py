"""States below the split: the same tokens with and without memory, made once, never more than the limit."""

import torch

from palate.modules.remember import Remember
from palate.modules.towers import TextTower, through

IDS = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0], [3, 4, 5, 6, 7], [6, 7, 0, 0, 0], [0, 0, 0, 0, 0]])


def tower():
    torch.manual_seed(0)
    made = TextTower(9, 8, layers=3, heads=2, length=5, dropout=0.0).eval()
    made.layers.layers[:2].requires_grad_(False)
    for parameter in made.first():
        parameter.requires_grad_(False)
    return made


def test_tokens_are_those_without_memory_and_upper_blocks_learn():
    made, remember = tower(), Remember(2)
    made.train()
    for ids in (IDS, IDS[:2], IDS[1:]):
        values, mask = remember(made, ids)
        wanted, there = through(made, ids)
        longest = mask.shape[1]
        assert not there[:, longest:].any() and made.training
        torch.testing.assert_close(values[mask], wanted[:, :longest][mask], atol=1e-5, rtol=1e-4)
        assert torch.equal(mask, there[:, :longest])
    values[mask].sum().backward()
    assert made.layers.layers[2].linear1.weight.grad is not None and made.layers.layers[1].linear1.weight.grad is None


def test_states_are_made_once_and_within_the_limit():
    made, asked = tower(), []
    start = made.start
    made.start = lambda ids: asked.append(len(ids)) or start(ids)
    remember = Remember(2)
    remember(made, IDS)
    remember(made, IDS.flip(0))
    assert asked == [4] and remember.size == sum(row.nbytes for row, _ in remember.states.values())
    small = Remember(2, limit=4 * 8 * 6)
    for _ in range(2):
        small(made, IDS)
        assert small.size <= 4 * 8 * 6 and len(small.states) >= 1
