"""Descriptors of regions by hand; labels that are standardised, few in columns, and words with members."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from palate.modules.region_labeller import WIDTH, RegionLabeller
from palate.modules.region_statistics import cell_statistics, stretch_statistics


def test_cells_by_hand():
    """Two cells: one of a colour, one that is dark above and bright below."""
    picture = torch.zeros(1, 3, 16, 32)
    picture[0, :, :, :16] = torch.tensor([0.5, -0.2, 0.1])[:, None, None]
    picture[0, :, 8:, 16:] = 1.0
    found = cell_statistics(picture)
    assert found.shape == (1, 2, 5 * 3 + 8)
    plain, split = found[0]
    torch.testing.assert_close(plain[:12].view(3, 4), torch.tensor([0.5, -0.2, 0.1])[:, None].expand(-1, 4))
    torch.testing.assert_close(plain[12:15], torch.zeros(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(split[:12].view(3, 4), torch.tensor([0.0, 0, 1, 1]).expand(3, -1))
    torch.testing.assert_close(split[12:15], torch.full((3,), 0.5))
    # the edge lies across: rows 7 and 8 of 16 change by half each, from above to below
    edges = split[15:]
    assert int(edges.argmax()) == 4 and float(edges[4]) == pytest.approx(2 * 0.5 / 16, rel=0.1)


def test_an_edge_and_its_opposite_are_one_direction():
    picture = torch.zeros(2, 1, 16, 16)
    picture[0, :, :, 8:], picture[1, :, :, :8] = 1.0, 1.0
    one, other = cell_statistics(picture)[:, 0, 5:]
    torch.testing.assert_close(one, other)
    assert int(one.argmax()) == 0


def test_pictures_that_do_not_fill_their_cells_are_continued():
    assert cell_statistics(torch.rand(2, 3, 20, 40)).shape == (2, 2 * 3, 23)
    level = cell_statistics(torch.full((1, 3, 20, 40), 0.3))
    torch.testing.assert_close(level[..., :12], torch.full((1, 6, 12), 0.3))
    torch.testing.assert_close(level[..., 15:], torch.zeros(1, 6, 8))


def test_stretches_by_hand():
    sounds = torch.arange(2 * 6.0).view(1, 1, 2, 6)
    found = stretch_statistics(sounds, 4)
    torch.testing.assert_close(found[0, 0], torch.tensor([1.5, 7.5, 3, 3]))
    torch.testing.assert_close(found[0, 1], torch.tensor([4.75, 10.75, 1, 1]))


def test_labels_are_standardised_and_fixed():
    described = torch.randn(20, 4, 6) * torch.arange(1, 7) + 3
    labeller = RegionLabeller(described, 5, seed=0)
    features = labeller(described)
    torch.testing.assert_close(features.flatten(0, 1).mean(0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(features.flatten(0, 1).std(0, correction=0), torch.ones(6), atol=1e-4, rtol=0)
    assert not list(labeller.parameters()) and not features.requires_grad
    torch.testing.assert_close(labeller.classes(features).sum(2), torch.ones(20, 4))
    torch.testing.assert_close(labeller(described[:3]), features[:3])


def test_wide_features_are_principal_components():
    rng = np.random.default_rng(0)
    low = rng.standard_normal((30, 4, 2)) @ rng.standard_normal((2, WIDTH + 40))
    described = torch.from_numpy(low).float()
    labeller = RegionLabeller(described, 0, seed=0)
    assert labeller.width == WIDTH and len(labeller.kinds) == 0
    centred = (described - described.flatten(0, 1).mean(0)).flatten(0, 1)
    back = labeller(described).flatten(0, 1)[:, :2] * labeller.spread[:2] @ labeller.axes[:, :2].T
    torch.testing.assert_close(back, centred, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("words", [2, 3, 50])
def test_words_are_the_groups_that_there_are(words):
    """Three kinds of regions: as many words as asked for, and never more than there are kinds."""
    kinds = torch.tensor([[5.0, 0, 0], [0, 5, 0], [0, 0, 5]])
    described = kinds[torch.arange(60) % 3].view(15, 4, 3)
    labeller = RegionLabeller(described, words, seed=1)
    assert len(labeller.kinds) == min(words, 3)
    torch.testing.assert_close(labeller.kinds.norm(dim=1), torch.ones(min(words, 3)))
    if words >= 3:
        found = labeller.classes(labeller(described)).argmax(2).flatten()
        assert len(set(zip(found.tolist(), (torch.arange(60) % 3).tolist()))) == 3


def test_words_depend_on_the_seed_alone():
    described = torch.randn(50, 4, 5, generator=torch.Generator().manual_seed(0))
    one, same, other = (RegionLabeller(described, 8, seed).kinds for seed in (0, 0, 1))
    assert torch.equal(one, same) and not torch.equal(one, other)


def test_regions_that_are_all_alike_have_one_class():
    labeller = RegionLabeller(torch.full((6, 4, 3), 0.7), 8, seed=0)
    features = labeller(torch.full((6, 4, 3), 0.7))
    assert torch.isfinite(features).all() and len(labeller.kinds) == 1
    torch.testing.assert_close(labeller.classes(features), torch.ones(6, 4, 1))
    assert torch.isfinite(F.normalize(features, dim=2)).all()
