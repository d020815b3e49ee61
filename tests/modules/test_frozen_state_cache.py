"""States below the split: the same tokens with and without a cache, made once, never more than the limit."""

import torch

from palate.modules.frozen_state_cache import FrozenStateCache
from palate.modules.towers import TextTower, run_tower

IDS = torch.tensor([[3, 4, 5, 0, 0], [6, 7, 0, 0, 0], [3, 4, 5, 6, 7], [6, 7, 0, 0, 0], [0, 0, 0, 0, 0]])


def tower():
    torch.manual_seed(0)
    made = TextTower(9, 8, layers=3, heads=2, length=5, dropout=0.0).eval()
    made.layers.layers[:2].requires_grad_(False)
    for parameter in made.input_parameters():
        parameter.requires_grad_(False)
    return made


def test_tokens_are_those_without_a_cache_and_upper_blocks_learn():
    made, cache = tower(), FrozenStateCache(2)
    made.train()
    for ids in (IDS, IDS[:2], IDS[1:]):
        values, mask = cache(made, ids)
        expected, expected_mask = run_tower(made, ids)
        longest = mask.shape[1]
        assert not expected_mask[:, longest:].any() and made.training
        torch.testing.assert_close(values[mask], expected[:, :longest][mask], atol=1e-5, rtol=1e-4)
        assert torch.equal(mask, expected_mask[:, :longest])
    values[mask].sum().backward()
    assert made.layers.layers[2].linear1.weight.grad is not None and made.layers.layers[1].linear1.weight.grad is None


def test_states_are_computed_once_and_within_the_limit():
    made, computed = tower(), []
    embed = made.embed
    made.embed = lambda ids: computed.append(len(ids)) or embed(ids)
    cache = FrozenStateCache(2)
    cache(made, IDS)
    cache(made, IDS.flip(0))
    assert computed == [4] and cache.size == sum(row.nbytes for row, _ in cache.states.values())
    small = FrozenStateCache(2, limit=4 * 8 * 6)
    for _ in range(2):
        small(made, IDS)
        assert small.size <= 4 * 8 * 6 and len(small.states) >= 1
