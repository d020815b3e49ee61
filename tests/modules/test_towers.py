"""Towers: shapes, what is not there does not count, and the rest of the batch changes nothing."""

import pytest
import torch

from palate.modules.towers import AudioTower, ImageTower, TextTower, VectorTower, make_tower, pooled


def inputs(kind, n=3):
    generator = torch.Generator().manual_seed(0)
    if kind == "text":
        ids = torch.randint(1, 30, (n, 8), generator=generator)
        ids[0, 5:] = 0
        return ids
    shape = {"image": (3, 32, 32), "audio": (1, 12, 40), "vector": (10,)}[kind]
    return torch.randn(n, *shape, generator=generator)


TOWERS = {
    "text": lambda: TextTower(30, 16, 1, 2, 8),
    "image": lambda: ImageTower(16, (8, 16)),
    "audio": lambda: AudioTower(12, 16, (8, 16)),
    "vector": lambda: VectorTower(10, 16),
}


@pytest.mark.parametrize("kind", TOWERS)
def test_a_vector_does_not_depend_on_the_batch(kind):
    torch.manual_seed(0)
    tower = TOWERS[kind]().eval()
    x = inputs(kind)
    with torch.inference_mode():
        tokens, mask = tower(x)
        together = pooled((tokens, mask))
        alone = torch.cat([pooled(tower(x[i : i + 1])) for i in range(len(x))])
    assert tokens.shape[0] == 3 and tokens.shape[2] == 16 and mask.shape == tokens.shape[:2]
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_padding_changes_nothing_and_an_empty_text_is_zero():
    torch.manual_seed(0)
    tower = TOWERS["text"]().eval()
    x = inputs("text")[:1]
    with torch.inference_mode():
        torch.testing.assert_close(pooled(tower(x)), pooled(tower(x[:, :5])), atol=1e-5, rtol=0)
        assert pooled(tower(torch.zeros(2, 4))).abs().sum() == 0


def test_a_piece_that_no_training_text_held_is_unknown():
    torch.manual_seed(0)
    tower = TOWERS["text"]().eval()
    with torch.inference_mode():
        new, unknown = (pooled(tower(torch.tensor([[2.0, last, 3.0]]))) for last in (99, 1))
    assert torch.equal(new, unknown)


def test_grids_shrink_as_documented():
    assert ImageTower(16)(torch.zeros(1, 3, 64, 64))[0].shape == (1, 16, 16)
    assert AudioTower(12, 16)(torch.zeros(1, 1, 12, 40))[0].shape == (1, 10, 16)


def test_vectors_are_standardised_and_what_hardly_varies_stays_small():
    tower = VectorTower(3, 8)
    values = torch.tensor([[5.0, 0.0, 2.0], [7.0, 0.0, 2.1]])
    tower.fit(values)
    found = tower.embed(values)[0][:, 0]
    torch.testing.assert_close(found.mean(0), torch.zeros(3), atol=1e-6, rtol=0)
    spread = torch.tensor([1.0, 0.0, 0.0025])
    torch.testing.assert_close(found[1], spread.sqrt() / (spread + spread.mean()).sqrt(), atol=1e-5, rtol=0)
    assert bool(VectorTower(3, 8).embed(values)[0][:, 0].equal(values)), "unfitted, it reads vectors as they are"


def test_towers_by_name():
    assert isinstance(make_tower("image", dim=16), ImageTower)
